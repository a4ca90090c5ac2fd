using System.Buffers.Binary;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Relay.Storage.Log;

namespace Marmot.Relay.Storage.Index;

/// <summary>Answers one filter from the indexes: the narrowest list or lists, merged newest first, each candidate checked on its own bytes.</summary>
internal sealed class StoredQuery(
    EventIndex index, EventLog log, Filter filter, ReadScope scope, ulong upTo, int limit, CancellationToken cancel)
{
    /// <summary>Above this many lists one merge costs more than a walk of a wider list.</summary>
    private const int MaxLists = 4096;

    private readonly int _limit = Math.Min(limit, filter.Limit ?? int.MaxValue);
    private readonly List<StoredKey> _results = [];

    public List<StoredKey> Run(in LmdbTransaction txn)
    {
        if (_limit <= 0 || filter.Search is not null)
        {
            return _results; // NIP-01: limit 0 asks for live events only. A search (NIP-50) is not this room's.
        }

        if (filter.Ids is { } ids)
        {
            RunIds(txn, ids);
        }
        else
        {
            RunLists(txn);
        }

        return _results;
    }

    private void RunIds(in LmdbTransaction txn, Bytes32[] ids)
    {
        scope.Work += ids.Length;
        foreach (var id in ids)
        {
            if (index.TryFind(txn, id, out var arrival, out var header) && arrival <= upTo && Check(header)
                && !_results.Exists(r => r.Arrival == arrival))
            {
                _results.Add(new StoredKey(arrival, header.CreatedAt, header.Id, header.Kind));
            }
        }

        _results.Sort(AnswerOrder);
        if (_results.Count > _limit)
        {
            _results.RemoveRange(_limit, _results.Count - _limit);
        }
    }

    private void RunLists(in LmdbTransaction txn)
    {
        var lists = new List<ListWalk>();
        var examined = 0;
        try
        {
            Plan(txn, lists);
            var heap = new PriorityQueue<ListWalk, ListOrder>(lists.Count);
            foreach (var list in lists)
            {
                if (list.Start(filter.Since ?? 0, filter.Until ?? long.MaxValue))
                {
                    heap.Enqueue(list, list.Order);
                }
            }

            while (heap.TryPeek(out var list, out _) && _results.Count < _limit)
            {
                if ((++examined & 0x3FF) == 0)
                {
                    cancel.ThrowIfCancellationRequested();
                }

                if (examined > scope.MaxWork)
                {
                    throw new QueryTooWideException();
                }

                Examine(txn, list);
                if (list.Next())
                {
                    heap.DequeueEnqueue(list, list.Order);
                }
                else
                {
                    heap.Dequeue();
                }
            }
        }
        finally
        {
            scope.Work += examined;
            foreach (var list in lists)
            {
                list.Dispose();
            }
        }
    }

    private void Examine(in LmdbTransaction txn, ListWalk list)
    {
        var arrival = list.Arrival;
        if (arrival > upTo
            || (list.Kind is { } kind && filter.Kinds is { } kinds && Array.IndexOf(kinds, kind) < 0)
            || !index.TryReadHeader(txn, arrival, out var header)
            || !Check(header))
        {
            return;
        }

        // One event may stand in several lists (two matching tags): they meet here, next to each other.
        for (var i = _results.Count - 1; i >= 0 && _results[i].CreatedAt == header.CreatedAt; i--)
        {
            if (_results[i].Arrival == arrival)
            {
                return;
            }
        }

        _results.Add(new StoredKey(arrival, header.CreatedAt, header.Id, header.Kind));
    }

    private bool Check(in StoredHeader header)
    {
        if (header.Expiration <= scope.Now
            || (filter.Kinds is { } kinds && Array.IndexOf(kinds, header.Kind) < 0))
        {
            return false;
        }

        return NostrEventReader.TryRead(log.Peek(header.Position, header.Length), out var view, out _)
            && filter.Matches(view)
            && GiftWrapAccess.MayRead(view, scope);
    }

    // ids were handled; then author and kind, tags, author, kind, everything.
    private void Plan(in LmdbTransaction txn, List<ListWalk> lists)
    {
        Span<byte> prefix = stackalloc byte[TagKey.Size];
        if (filter.Authors is { } authors && filter.Kinds is { } kinds && (long)authors.Length * kinds.Length <= MaxLists)
        {
            foreach (var author in authors.Distinct())
            {
                foreach (var kind in kinds.Distinct())
                {
                    AddAuthorKind(txn, lists, author, kind);
                }
            }
        }
        else if (filter.Tags.Count > 0)
        {
            var (letter, values) = filter.Tags.MinBy(tag => tag.Value.Length);
            foreach (var value in values.Distinct())
            {
                TagKey.FromText(letter, value).Write(prefix);
                lists.Add(new ListWalk(txn.OpenCursor(index.Tags), prefix));
            }
        }
        else if (filter.Authors is not null)
        {
            foreach (var author in filter.Authors.Distinct())
            {
                foreach (var kind in KindsOf(txn, author))
                {
                    AddAuthorKind(txn, lists, author, kind);
                }
            }
        }
        else if (filter.Kinds is not null)
        {
            foreach (var kind in filter.Kinds.Distinct())
            {
                IndexKeys.WriteKind(prefix, kind);
                lists.Add(new ListWalk(txn.OpenCursor(index.Kinds), prefix[..2]));
            }
        }
        else
        {
            lists.Add(new ListWalk(txn.OpenCursor(index.Times), []));
        }
    }

    private void AddAuthorKind(in LmdbTransaction txn, List<ListWalk> lists, in Bytes32 author, int kind)
    {
        Span<byte> prefix = stackalloc byte[IndexKeys.ShortSize + 2];
        author.Span[..IndexKeys.ShortSize].CopyTo(prefix);
        IndexKeys.WriteKind(prefix[IndexKeys.ShortSize..], kind);
        lists.Add(new ListWalk(txn.OpenCursor(index.Authors), prefix));
    }

    // Jumps from kind to kind of one author.
    private List<int> KindsOf(in LmdbTransaction txn, in Bytes32 author)
    {
        List<int> kinds = [];
        Span<byte> from = stackalloc byte[IndexKeys.ShortSize + 2];
        author.Span[..IndexKeys.ShortSize].CopyTo(from);
        var walk = txn.OpenCursor(index.Authors);
        var next = 0;
        while (next <= ushort.MaxValue)
        {
            IndexKeys.WriteKind(from[IndexKeys.ShortSize..], next);
            if (!walk.Seek(from) || !walk.Key.StartsWith(from[..IndexKeys.ShortSize]))
            {
                break;
            }

            var kind = BinaryPrimitives.ReadUInt16BigEndian(walk.Key[IndexKeys.ShortSize..]);
            kinds.Add(kind);
            next = kind + 1;
        }

        walk.Dispose();
        return kinds;
    }

    public static int AnswerOrder(StoredKey a, StoredKey b) =>
        a.CreatedAt != b.CreatedAt ? b.CreatedAt.CompareTo(a.CreatedAt) : a.Id.CompareTo(b.Id);
}

/// <summary>The 13 order bytes of a list key as two numbers.</summary>
internal readonly record struct ListOrder(ulong High, ulong Low) : IComparable<ListOrder>
{
    public static ListOrder Read(ReadOnlySpan<byte> order) =>
        new(BinaryPrimitives.ReadUInt64BigEndian(order), BinaryPrimitives.ReadUInt64BigEndian(order[5..]));

    public int CompareTo(ListOrder other) => High != other.High ? High.CompareTo(other.High) : Low.CompareTo(other.Low);

    public static bool operator <(ListOrder a, ListOrder b) => a.CompareTo(b) < 0;

    public static bool operator >(ListOrder a, ListOrder b) => a.CompareTo(b) > 0;

    public static bool operator <=(ListOrder a, ListOrder b) => a.CompareTo(b) <= 0;

    public static bool operator >=(ListOrder a, ListOrder b) => a.CompareTo(b) >= 0;
}

/// <summary>A walk over the keys that share a prefix, newest first, between two times.</summary>
internal sealed class ListWalk : IDisposable
{
    private readonly byte[] _prefix;
    private LmdbCursor _cursor;
    private long _since;

    public ListWalk(LmdbCursor cursor, ReadOnlySpan<byte> prefix)
    {
        _cursor = cursor;
        _prefix = prefix.ToArray();
    }

    public ulong Arrival => BinaryPrimitives.ReadUInt64BigEndian(_cursor.Value);

    /// <summary>The kind where the list carries it.</summary>
    public int? Kind => _cursor.Value.Length == 10 ? BinaryPrimitives.ReadUInt16BigEndian(_cursor.Value[8..]) : null;

    public ListOrder Order => ListOrder.Read(_cursor.Key[_prefix.Length..]);

    public bool Start(long since, long until)
    {
        _since = since;
        Span<byte> from = stackalloc byte[_prefix.Length + IndexKeys.OrderSize];
        _prefix.CopyTo(from);
        IndexKeys.WriteOrderFrom(from[_prefix.Length..], until);
        return _cursor.Seek(from) && InRange();
    }

    public bool Next() => _cursor.Next() && InRange();

    public void Dispose() => _cursor.Dispose();

    private bool InRange() => _cursor.Key.StartsWith(_prefix) && IndexKeys.ReadTime(_cursor.Key[_prefix.Length..]) >= _since;
}
