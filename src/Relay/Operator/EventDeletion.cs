using System.Globalization;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>The operator's deletion: a count first, and the removal only when it is asked for in so many words.</summary>
internal static class EventDeletion
{
    /// <summary>True when a filter leaves nothing out: a limit alone leaves to chance what is removed, and a time that all events are in is no choice
    /// either.</summary>
    public static bool SelectsEverything(Filter filter) =>
        filter.Ids is null && filter.Authors is null && filter.Kinds is null && filter.Tags.Count == 0 && filter.Search is null
        && filter.Since is null or <= 0 && filter.Until is null;

    public static async Task<int> RunAsync(IEventStore store, Filter filter, bool yes, Decisions decisions, CommandStreams streams, CancellationToken cancel)
    {
        var keys = await store.QueryAsync(filter, ReadScope.Everything(long.MinValue), ulong.MaxValue, int.MaxValue, cancel);
        if (!yes)
        {
            await streams.Say($"{keys.Count} events would be deleted for good; the same command with --yes deletes them");
            return keys.Count == 0 ? 0 : 1;
        }

        var removed = await store.RemoveAsync(keys, erase: true, cancel);
        if (removed > 0)
        {
            await decisions.RecordAsync("delete-events", string.Create(CultureInfo.InvariantCulture, $"{removed} events"), "", "command line", cancel);
        }

        await streams.Say($"{removed} deleted");
        return 0;
    }
}
