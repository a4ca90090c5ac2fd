namespace Marmot.Mls.Tree;

/// <summary>
/// A fixed-length array whose clones share everything until one side writes: chunks of 64 entries, each writable only by the array that made it.
/// Cloning copies one reference a chunk. Entries never written are null and cost nothing. Not thread-safe.
/// </summary>
internal sealed class CowArray<T> where T : class
{
    private const int Shift = 6;
    private const int ChunkLength = 1 << Shift;

    private Chunk?[] _chunks;
    private object _owner = new();

    public CowArray(int length) => (Length, _chunks) = (length, new Chunk?[Chunks(length)]);

    private CowArray(CowArray<T> from) => (Length, _chunks) = (from.Length, [.. from._chunks]);

    public int Length { get; private set; }

    public T? this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Length, nameof(index));
            return _chunks[index >> Shift]?.Entries[index & (ChunkLength - 1)];
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)Length, nameof(index));
            if (_chunks[index >> Shift] is null && value is null) return;
            Writable(index >> Shift)[index & (ChunkLength - 1)] = value;
        }
    }

    /// <summary>A copy; from now on both sides copy a chunk before they write it.</summary>
    public CowArray<T> Clone()
    {
        _owner = new object();
        return new CowArray<T>(this);
    }

    /// <summary>New entries are null.</summary>
    public void Resize(int length)
    {
        if (length < Length && (length & (ChunkLength - 1)) != 0 && _chunks[length >> Shift] is not null)
        {
            Array.Clear(Writable(length >> Shift), length & (ChunkLength - 1), ChunkLength - (length & (ChunkLength - 1)));
        }

        Array.Resize(ref _chunks, Chunks(length));
        Length = length;
    }

    /// <summary>The entries that are not null, by index.</summary>
    public IEnumerable<(int Index, T Value)> Present()
    {
        for (var c = 0; c < _chunks.Length; c++)
        {
            if (_chunks[c] is not { } chunk) continue;
            for (var i = 0; i < ChunkLength; i++)
            {
                if (chunk.Entries[i] is { } value) yield return ((c << Shift) | i, value);
            }
        }
    }

    /// <summary>Indexes below both lengths whose entries are not the same object. Costs one comparison for each chunk that is shared.</summary>
    public IEnumerable<int> Differences(CowArray<T> other)
    {
        for (var c = 0; c < Math.Max(_chunks.Length, other._chunks.Length); c++)
        {
            var mine = c < _chunks.Length ? _chunks[c] : null;
            var theirs = c < other._chunks.Length ? other._chunks[c] : null;
            if (ReferenceEquals(mine, theirs)) continue;
            for (var i = 0; i < ChunkLength; i++)
            {
                if (!ReferenceEquals(mine?.Entries[i], theirs?.Entries[i])) yield return (c << Shift) | i;
            }
        }
    }

    private static int Chunks(int length) => (length + ChunkLength - 1) >> Shift;

    private T?[] Writable(int chunk)
    {
        var current = _chunks[chunk];
        if (current is null || !ReferenceEquals(current.Owner, _owner))
        {
            _chunks[chunk] = current = new Chunk(_owner, current is null ? new T?[ChunkLength] : [.. current.Entries]);
        }

        return current.Entries;
    }

    private sealed record Chunk(object Owner, T?[] Entries);
}
