using Marmot.Hosting.Moderating;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Filters;
using Marmot.Relay.Ingest;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Management;

/// <summary>Removes and overwrites what is stored of banned keys and events.</summary>
internal sealed class BannedEvents(IEventStore store, EventWriterLoop writer) : IDecisionFollower
{
    private const int Batch = 1000;

    public string Name => RelayHosting.Folder;

    public Task ApplyAsync(ModerationState before, ModerationState now, CancellationToken cancel) => RemoveAsync(
        [.. now.BannedKeys.Keys.Except(before.BannedKeys.Keys).Select(Bytes32.ParseHex)],
        [.. now.BannedEvents.Keys.Except(before.BannedEvents.Keys).Select(Bytes32.ParseHex)],
        cancel);

    private async Task RemoveAsync(Bytes32[] keys, Bytes32[] ids, CancellationToken cancel)
    {
        if (keys.Length > 0)
        {
            await RemoveAsync(new Filter { Authors = keys }, cancel);
        }

        if (ids.Length > 0)
        {
            await RemoveAsync(new Filter { Ids = ids }, cancel);
        }
    }

    private async Task RemoveAsync(Filter filter, CancellationToken cancel)
    {
        while (true)
        {
            var found = await store.QueryAsync(filter, ReadScope.Everything(long.MinValue), ulong.MaxValue, Batch, cancel);
            if (found.Count == 0 || await writer.RemoveAsync(found, cancel) == 0)
            {
                return;
            }
        }
    }
}
