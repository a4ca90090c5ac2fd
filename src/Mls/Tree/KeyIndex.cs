namespace Marmot.Mls.Tree;

/// <summary>
/// The public keys of one kind that stand in a tree, so that uniqueness (RFC 9420, 7.3) costs one look-up a changed node instead of a pass over all. A key may
/// be in it more than once while proposals are applied one after the other; <see cref="HasDuplicates"/> tells whether one is left at the end. Clones share
/// buckets. Not thread-safe.
/// </summary>
internal sealed class KeyIndex
{
    private const int FirstLength = 64;
    private const int KeysPerBucket = 2;

    private CowArray<byte[][]> _buckets;
    private int _count;
    private int _duplicates;

    public KeyIndex() => _buckets = new CowArray<byte[][]>(FirstLength);

    private KeyIndex(KeyIndex from) => (_buckets, _count, _duplicates) = (from._buckets.Clone(), from._count, from._duplicates);

    public bool HasDuplicates => _duplicates > 0;

    public KeyIndex Clone() => new(this);

    public bool Contains(ReadOnlySpan<byte> key) => Find(_buckets[BucketOf(key)], key) >= 0;

    public void Add(byte[] key)
    {
        if (_count == _buckets.Length * KeysPerBucket) Grow();
        if (Put(key)) _duplicates++;
        _count++;
    }

    /// <summary>Takes one occurrence out.</summary>
    public void Remove(byte[] key)
    {
        var at = BucketOf(key);
        var bucket = _buckets[at]!;
        var place = Find(bucket, key);
        byte[][] rest = [.. bucket.AsSpan(0, place), .. bucket.AsSpan(place + 1)];
        if (Find(rest, key) >= 0) _duplicates--;
        _buckets[at] = rest.Length == 0 ? null : rest;
        _count--;
    }

    /// <summary>True when the key was there already.</summary>
    private bool Put(byte[] key)
    {
        var at = BucketOf(key);
        var bucket = _buckets[at];
        var known = Find(bucket, key) >= 0;
        _buckets[at] = bucket is null ? [key] : [.. bucket, key];
        return known;
    }

    private void Grow()
    {
        var old = _buckets;
        _buckets = new CowArray<byte[][]>(old.Length * 4);
        foreach (var (_, bucket) in old.Present())
        {
            foreach (var key in bucket) Put(key);
        }
    }

    private static int Find(byte[][]? bucket, ReadOnlySpan<byte> key)
    {
        if (bucket is null) return -1;
        for (var i = 0; i < bucket.Length; i++)
        {
            if (key.SequenceEqual(bucket[i])) return i;
        }
        return -1;
    }

    // Seeded per process: members choose their keys, but not where they land.
    private int BucketOf(ReadOnlySpan<byte> key)
    {
        var hash = new HashCode();
        hash.AddBytes(key);
        return hash.ToHashCode() & (_buckets.Length - 1);
    }
}
