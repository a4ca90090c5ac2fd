using System.Diagnostics.CodeAnalysis;
using System.Text;
using Marmot.Client.Push;
using Marmot.Client.Storage;
using Marmot.Protocol.Events;

namespace Marmot.Client.Groups;

/// <summary>
/// The messages of one group in the order they came. The newest are values of the store and so in memory; behind them pages of <see cref="PageMessages"/> lie
/// on disk, so that a history of any length needs little memory. A store that ends with the process keeps all in memory. One caller at a time, as its session.
/// </summary>
internal sealed class MessageHistory(ClientStore store, GroupRecord record)
{
    /// <summary>Messages in one page; up to twice as many newer ones are in memory.</summary>
    internal const int PageMessages = 512;

    /// <summary>Most push gossip that is remembered by place; a flood pushes out what is oldest.</summary>
    private const int MaxGossip = 4096;

    public int Count => record.Messages;

    internal static string MessagesOf(string groupId) => $"g/{groupId}/msg/";

    private string PageKey(int page) => $"{ClientStore.PagePrefix}{record.GroupId}/{page:D8}";

    private string MessageKey(int index) => $"{MessagesOf(record.GroupId)}{index:D10}";

    /// <summary>Puts a message at the end; its place.</summary>
    public int Add(StoreBatch batch, StoredMessage message, int kind, long createdAt)
    {
        int index = record.Messages++;
        if (kind is >= TokenGossip.UpdateKind and <= TokenGossip.RemovalKind)
        {
            record.Gossip.RemoveAll(one => one.At < createdAt - (long)TokenBook.MaxAge.TotalSeconds);
            record.Gossip.Add(new GossipPlace(index, createdAt));
            if (record.Gossip.Count > MaxGossip)
            {
                record.Gossip.RemoveAt(0);
            }
        }

        Put(batch, index, message);
        return index;
    }

    /// <summary>Writes a message again. One that lies in a page is then in both; the value counts.</summary>
    public void Put(StoreBatch batch, int index, StoredMessage message) => batch.PutJson(MessageKey(index), message);

    /// <summary>A message; null when there is none at this place, or when it is damaged (<see cref="ClientStore.DamagedRecords"/>).</summary>
    public StoredMessage? Get(int index, StoreBatch? batch = null)
    {
        string key = MessageKey(index);
        byte[]? json = batch is null ? store.Get(key) : batch.Get(key, store);
        return json is not null ? StoreJson.Read<StoredMessage>(json)
            : index < record.PagedMessages && store.GetJson<PageReference>(PageKey(index / PageMessages)) is { } page
                && store.ReadPage(page, index % PageMessages) is { } paged
                ? StoreJson.Read<StoredMessage>(paged)
                : null;
    }

    /// <summary>Messages as clients see them, oldest first; what cannot be read is left out.</summary>
    public IReadOnlyList<GroupMessage> Read(int skip, int take) =>
        [.. Enumerable.Range(skip, Math.Clamp(Count - skip, 0, take)).Select(index => Read(index)).OfType<GroupMessage>()];

    /// <summary>Messages whose inner event has an id that begins so, newest first.</summary>
    public IEnumerable<GroupMessage> Find(string idStart) =>
        NewestFirst().Where(one => one.Stored.RumorJson.Contains(idStart, StringComparison.Ordinal)).Select(one => Read(one.Index)).OfType<GroupMessage>()
            .Where(message => message.Rumor.Id.ToString().StartsWith(idStart, StringComparison.Ordinal));

    /// <summary>Push gossip, oldest first.</summary>
    public IEnumerable<GroupMessage> Gossip() => record.Gossip.Select(one => Read(one.Index)).OfType<GroupMessage>();

    /// <summary>Everything that can be read, newest first.</summary>
    public IEnumerable<(int Index, StoredMessage Stored)> NewestFirst()
    {
        for (int index = Count - 1; index >= 0; index--)
        {
            if (Get(index) is { } stored)
            {
                yield return (index, stored);
            }
        }
    }

    public static bool TryReadRumor(StoredMessage stored, [NotNullWhen(true)] out Rumor? rumor) =>
        Rumor.TryParse(Encoding.UTF8.GetBytes(stored.RumorJson), out rumor, out _);

    /// <summary>Moves the oldest messages in memory to disk, once there are two pages of them. Call it when everything is in the store; a crash in between
    /// costs nothing.</summary>
    public void PageOut()
    {
        while (store.HasPages && record.Messages - record.PagedMessages >= 2 * PageMessages)
        {
            var batch = new StoreBatch();
            var records = new List<byte[]>(PageMessages);
            for (int index = record.PagedMessages; index < record.PagedMessages + PageMessages; index++)
            {
                records.Add(store.Get(MessageKey(index)) ?? throw new InvalidDataException("the store lacks a message"));
                batch.Delete(MessageKey(index));
            }

            int paged = record.PagedMessages;
            try
            {
                batch.PutJson(PageKey(paged / PageMessages), store.WritePage(records));
                record.PagedMessages = paged + PageMessages;
                batch.PutJson($"g/{record.GroupId}/record", record);
                store.Commit(batch, durable: false);
            }
            catch (IOException)
            {
                record.PagedMessages = paged;
                return; // no space: the messages stay where they are
            }
        }
    }

    private GroupMessage? Read(int index) =>
        Get(index) is { } stored && TryReadRumor(stored, out var rumor)
            ? new GroupMessage(record.GroupId, rumor, stored.Epoch, stored.EventId, stored.IsOwn, stored.SenderLeaf)
            : null;
}
