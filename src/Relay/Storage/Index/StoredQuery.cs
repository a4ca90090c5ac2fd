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

    /// <summary>Entries looked at beyond a full answer to learn whether there is more.</summary>
    private const int MaxExtra = 256;

    private readonly int _limit = Math.Min(limit, filter.Limit ?? int.MaxValue);
    private readonly bool _keepsSecond = scope.KeepsSeconds && (filter.Limit is null || limit < filter.Limit);
    private readonly List<StoredKey> _results = [];
    private readonly List<ListWalk> _lists = [];
    private bool _planned;
    private int _examined;
    private int _extra;

    public List<StoredKey> Results => _results;

    /// <summary>Runs until the answer is complete, or until somebody else wants the turn: then false, and it is called again with another
    /// transaction.</summary>
    public bool Run(in LmdbTransaction txn)
    {
        if (_limit <= 0 || filter.Search is not null)
        {
            scope.Leave(StoredRest.Unknown);
            return true; // NIP-01: limit 0 asks for live events only. A search (NIP-50) is not this room's.
        }

        if (filter.Ids is { } ids)
        {
            RunIds(txn, ids);
            return true;
        }

        return RunLists(txn);
    }

    private void RunIds(in LmdbTransaction txn, Bytes32[] ids)
    {
        scope.Work += ids.Length;
        foreach (var id in ids.Length > 1 ? ids.Distinct() : ids)
        {
            if (index.TryFind(txn, id, out var arrival, out var header) && arrival <= upTo && Check(header, filter.Tags.Count == 0, isForReader: false))
            {
                _results.Add(new StoredKey(arrival, header.CreatedAt, header.Id, header.Kind));
            }
        }

        _results.Sort(AnswerOrder);
        if (_results.Count > _limit)
        {
            _results.RemoveRange(_limit, _results.Count - _limit);
            scope.Leave(StoredRest.More);
        }
    }

    private bool RunLists(in LmdbTransaction txn)
    {
        var before = _examined;
        var paused = false;
        try
        {
            var heap = Open(txn);
            while (heap.TryPeek(out var list, out _))
            {
                if ((++_examined & 0x3FF) == 0)
                {
                    cancel.ThrowIfCancellationRequested();
                    scope.Turn?.YieldThread();
                    if (scope.Turn is { IsWanted: true })
                    {
                        paused = true;
                        return false;
                    }
                }

                var isFull = _results.Count >= _limit;
                if (isFull && (++_extra > MaxExtra || _examined > scope.MaxWork))
                {
                    scope.Leave(StoredRest.Unknown);
                    return true;
                }

                if (_examined > scope.MaxWork)
                {
                    throw new QueryTooWideException();
                }

                if (TryExamine(txn, list, out var key))
                {
                    if (isFull && !IsOfLastSecond(key) && !LetsGoOn(key))
                    {
                        scope.Leave(StoredRest.More);
                        return true;
                    }

                    _extra = 0;
                    _results.Add(key);
                }

                if (list.Next())
                {
                    heap.DequeueEnqueue(list, list.Order);
                }
                else
                {
                    heap.Dequeue();
                }
            }

            return true;
        }
        finally
        {
            scope.Work += _examined - before;
            foreach (var list in _lists)
            {
                list.Close(resume: paused);
            }
        }
    }

    // The lists that have something left, at their beginning or where the last slice ended.
    private PriorityQueue<ListWalk, ListOrder> Open(in LmdbTransaction txn)
    {
        if (!_planned)
        {
            Plan(txn, _lists);
            _planned = true;
        }

        var heap = new PriorityQueue<ListWalk, ListOrder>(_lists.Count);
        foreach (var list in _lists)
        {
            if (list.Open(txn, filter.Since ?? 0, filter.Until ?? long.MaxValue))
            {
                heap.Enqueue(list, list.Order);
            }
        }

        return heap;
    }

    // What the relay's own limit ends takes in the rest of its oldest second, up to as much again.
    private bool IsOfLastSecond(in StoredKey key) =>
        _keepsSecond && key.CreatedAt == _results[_limit - 1].CreatedAt && _results.Count - _limit < _limit;

    // An answer of one second alone leaves no time to go on from: one older event gives it.
    private bool LetsGoOn(in StoredKey key) =>
        _keepsSecond && key.CreatedAt < _results[0].CreatedAt && _results[^1].CreatedAt == _results[0].CreatedAt;

    private bool TryExamine(in LmdbTransaction txn, ListWalk list, out StoredKey key)
    {
        key = default;
        var arrival = list.Arrival;
        if (arrival > upTo || (list.Kind is { } kind && filter.Kinds is { } kinds && Array.IndexOf(kinds, kind) < 0))
        {
            return false;
        }

        // An entry that tells its whole value spares a look at the event, as long as no other letter is asked for.
        var hasValue = list.HasValue;
        if (hasValue == false
            || !index.TryReadHeader(txn, arrival, out var header)
            || !Check(header, tagsMatch: filter.Tags.Count == (hasValue == true ? 1 : 0), isForReader: hasValue == true && list.IsForReader))
        {
            return false;
        }

        // One event may stand in several lists (two matching tags): they meet here, next to each other.
        for (var i = _results.Count - 1; i >= 0 && _results[i].CreatedAt == header.CreatedAt; i--)
        {
            if (_results[i].Arrival == arrival)
            {
                return false;
            }
        }

        key = new StoredKey(arrival, header.CreatedAt, header.Id, header.Kind);
        return true;
    }

    // The header decides all but tags, and all but who may read a wrap.
    private bool Check(in StoredHeader header, bool tagsMatch, bool isForReader)
    {
        if (header.Expiration <= scope.Now || !filter.MatchesFields(header.Id, header.PublicKey, header.CreatedAt, header.Kind))
        {
            return false;
        }

        var mayRead = isForReader || scope.GiftWrapsOpen || !KindRules.IsGiftWrap(header.Kind);
        return (tagsMatch && mayRead)
            || (NostrEventReader.TryRead(log.Peek(header.Position, header.Length), out var view, out _)
                && (tagsMatch || filter.Matches(view))
                && (mayRead || GiftWrapAccess.MayRead(view, scope)));
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
                    AddAuthorKind(lists, author, kind);
                }
            }
        }
        else if (filter.Tags.Count > 0)
        {
            var (letter, values) = filter.Tags.MinBy(tag => tag.Value.Length);
            foreach (var value in values.Distinct())
            {
                var tag = TagKey.FromText(letter, value);
                tag.Write(prefix);
                lists.Add(new ListWalk(index.Tags, prefix, tag, letter == 'p' && Array.Exists(scope.Keys, key => tag.IsFor(key))));
            }
        }
        else if (filter.Authors is not null)
        {
            foreach (var author in filter.Authors.Distinct())
            {
                foreach (var kind in KindsOf(txn, author))
                {
                    AddAuthorKind(lists, author, kind);
                }
            }
        }
        else if (filter.Kinds is not null)
        {
            foreach (var kind in filter.Kinds.Distinct())
            {
                IndexKeys.WriteKind(prefix, kind);
                lists.Add(new ListWalk(index.Kinds, prefix[..2]));
            }
        }
        else
        {
            lists.Add(new ListWalk(index.Times, []));
        }
    }

    private void AddAuthorKind(List<ListWalk> lists, in Bytes32 author, int kind)
    {
        Span<byte> prefix = stackalloc byte[IndexKeys.ShortSize + 2];
        author.Span[..IndexKeys.ShortSize].CopyTo(prefix);
        IndexKeys.WriteKind(prefix[IndexKeys.ShortSize..], kind);
        lists.Add(new ListWalk(index.Authors, prefix));
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

/// <summary>A walk over the keys that share a prefix, newest first, between two times; it outlives transactions.</summary>
/// <param name="database">Where the keys are.</param>
/// <param name="prefix">What they share.</param>
/// <param name="tag">The value looked for, in the list of tags.</param>
/// <param name="isForReader">That value names who asks as a recipient.</param>
internal sealed class ListWalk(uint database, ReadOnlySpan<byte> prefix, TagKey? tag = null, bool isForReader = false)
{
    private readonly byte[] _prefix = prefix.ToArray();
    private LmdbCursor _cursor;
    private byte[]? _resumeAt;
    private bool _isOpen;
    private bool _ended;
    private long _since;

    public ulong Arrival => BinaryPrimitives.ReadUInt64BigEndian(_cursor.Value);

    /// <summary>The kind where the list carries it.</summary>
    public int? Kind => tag is null ? null : BinaryPrimitives.ReadUInt16BigEndian(_cursor.Value[8..]);

    /// <summary>Whether the entry is of the very value looked for and not just of its key; null when only the event can tell, and in lists not of
    /// tags.</summary>
    public bool? HasValue => tag?.IsValueOf(_cursor.Value[IndexKeys.TagRestOffset..]);

    public bool IsForReader => isForReader;

    public ListOrder Order => ListOrder.Read(_cursor.Key[_prefix.Length..]);

    /// <summary>Goes to the first key, or back to the one it was closed at; false when nothing is left.</summary>
    public bool Open(in LmdbTransaction txn, long since, long until)
    {
        if (_ended)
        {
            return false;
        }

        _since = since;
        _cursor = txn.OpenCursor(database);
        _isOpen = true;
        if (_resumeAt is not null)
        {
            _ended = !_cursor.Seek(_resumeAt) || !InRange();
            return !_ended;
        }

        Span<byte> from = stackalloc byte[_prefix.Length + IndexKeys.OrderSize];
        _prefix.CopyTo(from);
        IndexKeys.WriteOrderFrom(from[_prefix.Length..], until);
        _ended = !_cursor.Seek(from) || !InRange();
        return !_ended;
    }

    public bool Next()
    {
        _ended = !_cursor.Next() || !InRange();
        return !_ended;
    }

    /// <summary>Before the transaction ends.</summary>
    /// <param name="resume">True when it will be opened again where it stands.</param>
    public void Close(bool resume)
    {
        if (_isOpen)
        {
            _resumeAt = resume && !_ended ? _cursor.Key.ToArray() : null;
            _cursor.Dispose();
            _isOpen = false;
        }
    }

    private bool InRange() => _cursor.Key.StartsWith(_prefix) && IndexKeys.ReadTime(_cursor.Key[_prefix.Length..]) >= _since;
}
