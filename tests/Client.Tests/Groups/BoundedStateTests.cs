using Marmot.Client.Groups;
using Marmot.Client.Storage;
using Marmot.Client.Tests.Support;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Client.Tests.Groups;

/// <summary>A client that runs for months must not grow with what it has read.</summary>
public sealed class BoundedStateTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly MemoryNetwork _network = new();
    private readonly ManualClock _clock = new(DateTimeOffset.FromUnixTimeSeconds(1_790_000_000));
    private Member _alice = null!;
    private Member _bob = null!;
    private string _group = "";

    public async Task InitializeAsync()
    {
        _alice = await Member.StartAsync(_network, _clock);
        _bob = await Member.StartAsync(_network, _clock, folder: _folder.File("bob"));
        _group = (await _alice.Client.CreateGroupAsync("long", "")).GroupId;
        await _alice.Client.InviteAsync(_group, [_bob.Key]);
        await _bob.Client.AcceptInvitesAsync();
    }

    public async Task DisposeAsync()
    {
        await _alice.DisposeAsync();
        await _bob.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    [Trait("Spec", "MIP-03")]
    public async Task A_long_history_lies_on_disk_and_is_whole_after_a_restart()
    {
        const int messages = (4 * MessageHistory.PageMessages) + 100;
        await SendAsync(messages);
        await _bob.Client.SyncAsync(_group);
        Assert.InRange(_bob.Store.Scan(MessageHistory.MessagesOf(_group)).Count, MessageHistory.PageMessages, (2 * MessageHistory.PageMessages) - 1);
        Assert.Equal(3, Directory.GetFiles(Pages).Length);
        await _bob.RestartAsync();
        Assert.Equal(messages, _bob.Client.CountMessages(_group));
        Assert.Equal(Enumerable.Range(0, messages).Select(Text), _bob.Texts(_group));
        Assert.Equal([Text(510), Text(511), Text(512), Text(513)], _bob.Client.GetMessages(_group, skip: 510, take: 4)
            .Select(message => message.Rumor.Content));
        Assert.Empty(_bob.Client.GetMessages(_group, skip: messages));

        // An old message is found by its id, and a file that nothing refers to is gone with the next start.
        var old = _bob.Client.GetMessages(_group, take: 1)[0];
        Assert.Equal(old.Rumor.Id, _bob.Client.GetMessage(_group, old.Rumor.Id.ToString()[..12]).Rumor.Id);
        await File.WriteAllTextAsync(Path.Combine(Pages, "left-by-a-crash.page"), "x");
        await _bob.RestartAsync();
        Assert.Equal(3, Directory.GetFiles(Pages).Length);
        Assert.Equal(messages, _bob.Texts(_group).Count);
    }

    [Fact]
    public async Task A_damaged_record_of_a_page_is_left_out_and_counted_and_the_group_goes_on()
    {
        await SendAsync((2 * MessageHistory.PageMessages) + 10);
        await _bob.Client.SyncAsync(_group);
        int all = _bob.Client.GetMessages(_group).Count;
        string page = Assert.Single(Directory.GetFiles(Pages));
        byte[] bytes = await File.ReadAllBytesAsync(page);
        bytes[(MessageHistory.PageMessages * sizeof(int)) + 16 + 5] ^= 1; // behind the table of lengths: the first record
        await File.WriteAllBytesAsync(page, bytes);
        await _bob.RestartAsync();
        Assert.Equal(all - 1, _bob.Client.GetMessages(_group).Count);
        Assert.Equal(1, _bob.Store.DamagedRecords);
        await _alice.Client.SendAsync(_group, "one more");
        Assert.Equal("one more", Assert.Single((await _bob.Client.SyncAsync(_group)).Messages).Rumor.Content);
        Assert.Equal("one more", _bob.Client.GetMessages(_group, skip: 1024)[^1].Rumor.Content);
    }

    [Fact]
    [Trait("Spec", "MIP-05")]
    public async Task Push_tokens_are_known_however_long_ago_they_were_told()
    {
        var server = Bytes32.ParseHex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
        await _alice.Client.RegisterPushAsync(_group, new PushRegistration(Marmot.Protocol.Push.DevicePlatform.Apns, new byte[32], server, Member.Relay));
        await SendAsync(3 * MessageHistory.PageMessages);
        await _bob.Client.SyncAsync(_group);
        await _bob.RestartAsync();
        Assert.Single(_bob.Client.GetPushTokens(_group));
    }

    [Fact]
    public void Ids_beyond_the_bound_are_forgotten_oldest_first_also_across_a_restart()
    {
        using var store = ClientStore.InMemory();
        var seen = new SeenIds(store, "ab");
        var ids = Enumerable.Range(0, SeenIds.MaxIds + 20_000).Select(Id).ToList();
        for (int at = 0, turn = 0; at < ids.Count; turn++)
        {
            int step = turn % 100 == 99 ? Math.Min(5000, ids.Count - at) : 3; // single messages and now and then a catch-up
            foreach (var id in ids.Skip(at).Take(step))
            {
                seen.Add(id);
            }

            at += step;
            Save(seen, store);
        }

        for (int i = 0; i < 200; i++)
        {
            seen.Add(Id(1_000_000 + i));
            Save(seen, store);
        }

        Assert.InRange(store.Scan("g/ab/seen/").Sum(pair => pair.Value.Length / 32), SeenIds.MaxIds, SeenIds.MaxIds + 4096);
        Assert.True(store.Scan("g/ab/seen/").Count < 600, "small chunks become one");
        foreach (var known in new[] { seen, SeenIds.Load(store, "ab") })
        {
            Assert.All(ids.TakeLast(SeenIds.MaxIds - 4096), id => Assert.True(known.Contains(id)));
            Assert.All(ids.Take(15_000), id => Assert.False(known.Contains(id)));
            Assert.True(known.Contains(Id(1_000_000)));
        }
    }

    [Fact]
    [Trait("Spec", "MIP-02")]
    public async Task Gift_wraps_of_long_ago_are_forgotten()
    {
        Assert.NotEmpty(_bob.Store.Scan("w/"));
        await _bob.Client.AcceptInvitesAsync();
        _clock.Advance(TimeSpan.FromDays(6));
        await _bob.Client.AcceptInvitesAsync();
        await _bob.Client.AcceptInvitesAsync();
        Assert.Empty(_bob.Store.Scan("w/"));
        Assert.Equal(_group, Assert.Single(_bob.Client.GroupIds));
    }

    private string Pages => Path.Combine(_folder.File("bob"), ClientStore.PageFolderName);

    private static string Text(int i) => $"message {i}";

    private static Bytes32 Id(int i) => new(System.Security.Cryptography.SHA256.HashData(BitConverter.GetBytes(i)));

    private static void Save(SeenIds seen, ClientStore store)
    {
        var batch = new StoreBatch();
        seen.Save(batch);
        store.Commit(batch);
    }

    // With time passing, so that the order is the sender's.
    private async Task SendAsync(int count)
    {
        for (int i = 0; i < count; i++)
        {
            await _alice.Client.SendAsync(_group, Text(i));
            _clock.Advance(TimeSpan.FromSeconds(1));
        }
    }
}
