using Marmot.Protocol.Encoding;

namespace Marmot.Relay.Storage.Index;

/// <summary>An event that is durable in the log and not in the index yet.</summary>
/// <param name="Record">One that takes no other out.</param>
/// <param name="Arrival">Its arrival number.</param>
/// <param name="Position">Where it begins in the log.</param>
/// <param name="End">Where the log went on behind it.</param>
internal sealed record BacklogEvent(EventRecord Record, ulong Arrival, long Position, long End);

/// <summary>What the index has still to enter, in arrival order. The store's writer adds; whoever enters takes away; anybody looks, without waiting for
/// either.</summary>
internal sealed class IndexBacklog
{
    /// <summary>Index entries the backlog may come to: what a reader at worst has to wait for, and what the index keeps room on disk for.</summary>
    public const int MaxEntries = 128;

    private const int EntriesOfEvent = 6; // event, id, time, kind, author, expiry
    private readonly Lock _changing = new();
    private BacklogEvent[] _events = [];
    private int _entries;

    /// <summary>As they are now; the array is never written to.</summary>
    public BacklogEvent[] Events => Volatile.Read(ref _events);

    public bool IsHalfFull => Volatile.Read(ref _entries) >= MaxEntries / 2;

    public bool HasRoomFor(EventRecord record) => Volatile.Read(ref _entries) + EntriesOf(record) <= MaxEntries;

    /// <summary>True when an event that the index would take for the same is waiting.</summary>
    public bool Holds(in Bytes32 id)
    {
        foreach (var waiting in Events)
        {
            if (waiting.Record.Id.Span[..IndexKeys.ShortSize].SequenceEqual(id.Span[..IndexKeys.ShortSize]))
            {
                return true;
            }
        }

        return false;
    }

    public void Add(BacklogEvent waiting)
    {
        lock (_changing)
        {
            _entries += EntriesOf(waiting.Record);
            Volatile.Write(ref _events, [.. _events, waiting]);
        }
    }

    /// <summary>Takes the oldest away: the index holds them now.</summary>
    public void RemoveFirst(int count)
    {
        lock (_changing)
        {
            foreach (var entered in _events.AsSpan(0, count))
            {
                _entries -= EntriesOf(entered.Record);
            }

            Volatile.Write(ref _events, _events[count..]);
        }
    }

    private static int EntriesOf(EventRecord record) => EntriesOfEvent + record.Tags.Length;
}
