using Marmot.Protocol.Events;
using System.Globalization;
using Marmot.Hosting;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage;

namespace Marmot.Relay.Operator;

/// <summary>How many events of each kind and age are stored. Counted in the background when somebody looks and the last count is older than a few minutes: it
/// looks at every index entry.</summary>
internal sealed class StoreSurvey(IEventStore store, TimeProvider clock, ILogger<StoreSurvey> log)
{
    private static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(5);

    private static readonly (int Kind, string Name)[] Kinds =
    [
        (EventKinds.GroupEvent, "445 group events"), (EventKinds.GiftWrap, "1059 gift wraps"), (EventKinds.KeyPackage, "30443 key packages"),
            (EventKinds.LegacyKeyPackage, "443 key packages (older)"), (EventKinds.Profile, "0 profiles"),
        (EventKinds.RelayList, "10002 relay lists"), (EventKinds.InboxRelays, "10050 inbox relays"), (EventKinds.Deletion, "5 deletions"), (1, "1 notes"),
    ];

    private readonly Lock _lock = new();
    private Counted? _last;
    private TimeSpan _countedAt;
    private bool _isCounting;

    /// <summary>Ages, youngest first; seconds, and the last is all that is older.</summary>
    public static IReadOnlyList<(string Name, long Seconds)> Ages { get; } =
        [("a day", 86400), ("a week", 7 * 86400), ("30 days", 30 * 86400), ("older", long.MaxValue)];

    /// <summary>One row: a kind and how many of each age.</summary>
    internal sealed record Row(string Name, long[] Counts);

    /// <summary>A count.</summary>
    internal sealed record Counted(DateTimeOffset At, long Total, long LogBytes, IReadOnlyList<Row> Rows);

    /// <summary>The last count, null before the first; begins another when it is old.</summary>
    public Counted? Look()
    {
        lock (_lock)
        {
            if (!_isCounting && (_last is null || clock.GetUptime() - _countedAt > MaxAge))
            {
                _isCounting = true;
                _ = Task.Run(CountAsync);
            }

            return _last;
        }
    }

    /// <summary>Counts now.</summary>
    internal async Task<Counted> CountAsync(CancellationToken cancel)
    {
        var now = clock.GetUtcNow();
        var scope = ReadScope.Everything(now.ToUnixTimeSeconds());
        var rows = new List<Row>();
        foreach (var (kind, name) in Kinds)
        {
            rows.Add(new Row(name, await CountAgesAsync([kind], scope, cancel)));
        }

        var all = await CountAgesAsync(null, scope, cancel);
        rows.Add(new Row("others", [.. all.Select((count, age) => Math.Max(0, count - rows.Sum(row => row.Counts[age])))]));
        var statistics = await store.ReadStatisticsAsync(cancel);
        return new Counted(now, all.Sum(), statistics.LogBytes, [.. rows.Where(row => row.Counts.Sum() > 0)]);
    }

    private async Task CountAsync()
    {
        try
        {
            var counted = await CountAsync(CancellationToken.None);
            lock (_lock)
            {
                (_last, _countedAt) = (counted, clock.GetUptime());
            }
        }
        catch (Exception exception)
        {
            log.LoopFailed(nameof(StoreSurvey), exception);
        }
        finally
        {
            lock (_lock)
            {
                _isCounting = false;
            }
        }
    }

    private async Task<long[]> CountAgesAsync(int[]? kinds, ReadScope scope, CancellationToken cancel)
    {
        var counts = new long[Ages.Count];
        long? until = null;
        for (var i = 0; i < Ages.Count; i++)
        {
            long? since = Ages[i].Seconds == long.MaxValue ? null : scope.Now - Ages[i].Seconds;
            counts[i] = await store.CountAsync(new Filter { Kinds = kinds, Since = since, Until = until }, scope, ulong.MaxValue, cancel);
            until = since - 1;
        }

        return counts;
    }
}
