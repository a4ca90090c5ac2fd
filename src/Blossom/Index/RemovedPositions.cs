using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Index;

/// <summary>Where claims that were removed lately stood in their owners' lists, so that a client which reads a list in pages goes on where it stood (BUD-12).
/// In memory only.</summary>
/// <remarks>Bounded by age and number; not thread-safe.</remarks>
internal sealed class RemovedPositions(TimeProvider time)
{
    /// <summary>How long a position is remembered.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromHours(1);

    private const int MaxPositions = 100_000;
    private readonly Dictionary<(Bytes32 Owner, Bytes32 Hash), long> _positions = [];
    private readonly Queue<(Bytes32 Owner, Bytes32 Hash, long RemovedAt)> _order = new();

    public void Add(Bytes32 owner, Bytes32 hash, long uploadedAt)
    {
        _positions[(owner, hash)] = uploadedAt;
        _order.Enqueue((owner, hash, time.GetTimestamp()));
        DropOld();
    }

    /// <summary>When the claim had been uploaded, in unix seconds; null when it is not remembered.</summary>
    public long? Find(Bytes32 owner, Bytes32 hash)
    {
        DropOld();
        return _positions.TryGetValue((owner, hash), out var uploadedAt) ? uploadedAt : null;
    }

    private void DropOld()
    {
        while (_order.TryPeek(out var first) && (_order.Count > MaxPositions || time.GetElapsedTime(first.RemovedAt) > MaxAge))
        {
            _order.Dequeue();
            _positions.Remove((first.Owner, first.Hash));
        }
    }
}
