using System.Diagnostics.Metrics;
using Marmot.Protocol.Events;
using Marmot.Relay.Storage;

namespace Marmot.Relay;

/// <summary>The relay's meter. Counts only: no key, address or content ever becomes a label.</summary>
internal sealed class RelayMetrics : IDisposable
{
    /// <summary>Kinds that have a series of their own: the label must not be for strangers to choose.</summary>
    private static readonly int[] CountedKinds = [
        EventKinds.GroupEvent, EventKinds.GiftWrap, EventKinds.KeyPackage, EventKinds.LegacyKeyPackage, EventKinds.Profile, EventKinds.Deletion, 1,
        EventKinds.RelayList, EventKinds.InboxRelays,
    ];

    private readonly Meter _meter = new("marmot.relay");
    private readonly Counter<long> _accepted, _refused, _duplicates, _delivered, _dropped, _queries;
    private readonly Histogram<double> _commit;
    private readonly Counter<long> _caughtUp;
    private readonly long[] _byKind = new long[CountedKinds.Length + 1]; // the last: all others
    private int _connections;

    public RelayMetrics()
    {
        _accepted = _meter.CreateCounter<long>("relay_events_accepted");
        _refused = _meter.CreateCounter<long>("relay_events_refused");
        _duplicates = _meter.CreateCounter<long>("relay_events_duplicate");
        _delivered = _meter.CreateCounter<long>("relay_events_delivered");
        _dropped = _meter.CreateCounter<long>("relay_connections_dropped");
        _queries = _meter.CreateCounter<long>("relay_queries");
        _caughtUp = _meter.CreateCounter<long>("relay_cluster_events_caught_up",
            description: "Live events of other replicas that came from the store because no message brought them.");
        _commit = _meter.CreateHistogram<double>("relay_commit_seconds", "s");
        _meter.CreateObservableCounter(
            "relay_events_stored",
            () => _byKind.Select((count, at) => new Measurement<long>(
                Interlocked.Read(ref _byKind[at]), new KeyValuePair<string, object?>("kind", at < CountedKinds.Length ? CountedKinds[at] : "other"))),
            description: "Events stored, by kind.");
        _meter.CreateObservableGauge("relay_connections", () => Volatile.Read(ref _connections));
    }

    /// <summary>An event was stored; counted by kind without a label made for it.</summary>
    public void Stored(int kind)
    {
        var at = Array.IndexOf(CountedKinds, kind);
        Interlocked.Increment(ref _byKind[at < 0 ? CountedKinds.Length : at]);
    }

    public int Connections => Volatile.Read(ref _connections);

    public int ConnectionOpened() => Interlocked.Increment(ref _connections);

    public void ConnectionClosed() => Interlocked.Decrement(ref _connections);

    public void ConnectionDropped() => _dropped.Add(1);

    public void Delivered(int count) => _delivered.Add(count);

    public void Refused(RejectPrefix prefix) => _refused.Add(1, new KeyValuePair<string, object?>("reason", prefix.Label()));

    public void CaughtUp(int count) => _caughtUp.Add(count);

    public void Query() => _queries.Add(1);

    public void Committed(TimeSpan time) => _commit.Record(time.TotalSeconds);

    public void Judged(StoreVerdict verdict)
    {
        switch (verdict)
        {
            case StoreVerdict.Stored:
                _accepted.Add(1);
                break;
            case StoreVerdict.Duplicate:
                _duplicates.Add(1);
                break;
            default:
                Refused(verdict switch
                {
                    StoreVerdict.Superseded => RejectPrefix.Duplicate,
                    StoreVerdict.WrongSignature or StoreVerdict.TooLarge or StoreVerdict.TooNew => RejectPrefix.Invalid,
                    _ => RejectPrefix.Blocked,
                });
                break;
        }
    }

    public void Dispose() => _meter.Dispose();
}
