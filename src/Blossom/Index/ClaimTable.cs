using System.Collections.Concurrent;
using Marmot.Blossom.Policies;
using Marmot.Protocol.Encoding;

namespace Marmot.Blossom.Index;

/// <summary>The claims in memory. Reads from anywhere; writes only by the owner of the table (one at a time).</summary>
internal sealed class ClaimTable(TimeProvider time, bool listable)
{
    private readonly ConcurrentDictionary<Bytes32, Held[]> _blobs = new();
    private readonly Dictionary<Bytes32, OwnerClaims> _owners = [];
    private readonly PriorityQueue<Bytes32, long> _expiry = new();
    private readonly RemovedPositions _removed = new(time); // guarded by _owners
    private long _claims;
    private long _bytes;

    /// <summary>A claim, the slot it is written in, and the sequence that stands there.</summary>
    internal readonly record struct Held(BlobClaim Claim, long Slot, ulong Sequence);

    public BlobTotals Totals => new(_blobs.Count, Interlocked.Read(ref _claims), Interlocked.Read(ref _bytes));

    private long Now => time.GetUtcNow().ToUnixTimeSeconds();

    public BlobEntry? Find(Bytes32 hash) => Find(hash, Now);

    public BlobEntry? Find(Bytes32 hash, long now) => _blobs.TryGetValue(hash, out var held) ? Live(held, now) : null;

    public Held[] HeldBy(Bytes32 hash) => _blobs.TryGetValue(hash, out var held) ? held : [];

    public static int IndexOf(Held[] held, Bytes32 owner) => Array.FindIndex(held, h => h.Claim.Owner == owner);

    /// <summary>The type the claims on a blob agree on, with one more declaration.</summary>
    public static string TypeOf(Held[] held, string declared) =>
        BlobTypes.Better(held.Aggregate(BlobTypes.Opaque, static (kept, one) => BlobTypes.Better(kept, one.Claim.Type)), declared);

    public void Put(Held added)
    {
        var (hash, owner) = (added.Claim.Hash, added.Claim.Owner);
        var held = HeldBy(hash);
        var at = IndexOf(held, owner);
        if (at >= 0)
        {
            Forget(held[at].Claim);
            held = [.. held[..at], .. held[(at + 1)..]];
        }
        else
        {
            Interlocked.Increment(ref _claims);
        }

        if (held.Length == 0 && at < 0)
        {
            Interlocked.Add(ref _bytes, added.Claim.Size);
        }

        _blobs[hash] = [.. held, added];
        if (added.Claim.ExpiresAt is { } ends)
        {
            lock (_expiry)
            {
                _expiry.Enqueue(hash, ends);
            }
        }

        if (listable)
        {
            lock (_owners)
            {
                if (!_owners.TryGetValue(owner, out var list))
                {
                    _owners.Add(owner, list = new OwnerClaims());
                }

                list.Claims.Add((-added.Claim.UploadedAt, hash));
                list.Bytes += added.Claim.Size;
            }
        }
    }

    /// <summary>Takes claims of one blob away; true when none is left.</summary>
    public bool Remove(Bytes32 hash, ReadOnlySpan<Held> removed)
    {
        var left = new List<Held>(HeldBy(hash));
        foreach (var one in removed)
        {
            left.Remove(one);
            Forget(one.Claim);
            if (listable)
            {
                lock (_owners)
                {
                    _removed.Add(one.Claim.Owner, hash, one.Claim.UploadedAt);
                }
            }

            Interlocked.Decrement(ref _claims);
        }

        if (left.Count > 0)
        {
            _blobs[hash] = [.. left];
            return false;
        }

        if (_blobs.TryRemove(hash, out _) && removed.Length > 0)
        {
            Interlocked.Add(ref _bytes, -removed[0].Claim.Size);
        }

        return true;
    }

    public List<Bytes32> TakeExpired(long now, int limit)
    {
        var found = new HashSet<Bytes32>();
        lock (_expiry)
        {
            while (found.Count < limit && _expiry.TryPeek(out var hash, out var ends) && ends <= now)
            {
                _expiry.Dequeue();
                if (HeldBy(hash).Any(held => held.Claim.ExpiresAt <= now)) // renewed claims leave stale entries behind
                {
                    found.Add(hash);
                }
            }
        }

        return [.. found];
    }

    /// <returns>Null when <paramref name="after"/> is no claim of the owner's and was none lately.</returns>
    public List<BlobEntry>? List(Bytes32 owner, Bytes32? after, int limit)
    {
        var page = new List<BlobEntry>();
        var now = Now;
        lock (_owners)
        {
            (long MinusUploaded, Bytes32 Hash)? from = null;
            if (after is { } last)
            {
                var held = HeldBy(last);
                var at = IndexOf(held, owner);
                if (at >= 0)
                {
                    from = (-held[at].Claim.UploadedAt, last);
                }
                else if (_removed.Find(owner, last) is { } uploaded)
                {
                    from = (-uploaded, last);
                }
                else
                {
                    return null;
                }
            }

            if (!_owners.TryGetValue(owner, out var listed))
            {
                return page;
            }

            var all = listed.Claims;
            IEnumerable<(long MinusUploaded, Bytes32 Hash)> rest = all;
            if (from is { } key)
            {
                rest = key.CompareTo(all.Max) > 0 ? [] : all.GetViewBetween(key, all.Max).SkipWhile(one => one == key);
            }

            foreach (var (minusUploaded, hash) in rest)
            {
                if (page.Count == limit)
                {
                    break;
                }

                if (HeldBy(hash) is { Length: > 0 } claims && IndexOf(claims, owner) is >= 0 and var mine
                    && !(claims[mine].Claim.ExpiresAt <= now) && Live(claims, now) is { } entry)
                {
                    page.Add(entry with { UploadedAt = -minusUploaded });
                }
            }
        }

        return page;
    }

    /// <summary>Blobs that were neither uploaded nor read since a date.</summary>
    public List<Bytes32> FindUnread(long since, int limit) => [.. _blobs.Where(blob => IsUnread(blob.Value, since)).Take(limit).Select(blob => blob.Key)];

    public static bool IsUnread(Held[] held, long since) =>
        held.Length > 0 && Array.TrueForAll(held, one => one.Claim.UploadedAt < since && one.Claim.ReadAt < since);

    public long BytesOf(Bytes32 owner)
    {
        lock (_owners)
        {
            return _owners.TryGetValue(owner, out var list) ? list.Bytes : 0;
        }
    }

    public IEnumerable<BlobClaim> All() => _blobs.Values.SelectMany(held => held).Select(held => held.Claim);

    private static BlobEntry? Live(Held[] held, long now)
    {
        BlobEntry? entry = null;
        foreach (var (claim, _, _) in held)
        {
            if (claim.ExpiresAt <= now)
            {
                continue;
            }

            entry = entry is null
                ? new BlobEntry(claim.Hash, claim.Size, claim.Type, claim.UploadedAt, claim.ExpiresAt, 1, claim.Mark)
                : entry with
                {
                    Type = BlobTypes.Better(entry.Type, claim.Type),
                    UploadedAt = Math.Min(entry.UploadedAt, claim.UploadedAt),
                    ExpiresAt = entry.ExpiresAt is null || claim.ExpiresAt is null ? null : Math.Max(entry.ExpiresAt.Value, claim.ExpiresAt.Value),
                    Claims = entry.Claims + 1,
                };
        }

        return entry;
    }

    private void Forget(BlobClaim claim)
    {
        if (!listable)
        {
            return;
        }

        lock (_owners)
        {
            if (_owners.TryGetValue(claim.Owner, out var list) && list.Claims.Remove((-claim.UploadedAt, claim.Hash)))
            {
                list.Bytes -= claim.Size;
                if (list.Claims.Count == 0)
                {
                    _owners.Remove(claim.Owner);
                }
            }
        }
    }

    /// <summary>What one owner holds, newest first, and how many bytes that is.</summary>
    private sealed class OwnerClaims
    {
        public SortedSet<(long MinusUploaded, Bytes32 Hash)> Claims { get; } = [];

        public long Bytes { get; set; }
    }
}
