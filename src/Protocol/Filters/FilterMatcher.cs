using System.Buffers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;

namespace Marmot.Protocol.Filters;

/// <summary>A filter made ready for matching: tag values as canonical escaped bytes, long lists as sets.</summary>
internal sealed class FilterMatcher
{
    // Below this many values a straight comparison beats hashing.
    private const int SetThreshold = 8;

    private readonly Bytes32[]? _ids;
    private readonly Bytes32[]? _authors;
    private readonly int[]? _kinds;
    private readonly HashSet<Bytes32>? _idSet;
    private readonly HashSet<Bytes32>? _authorSet;
    private readonly HashSet<int>? _kindSet;
    private readonly long _since;
    private readonly long _until;
    private readonly TagCondition[] _tags;

    public FilterMatcher(Filter filter)
    {
        _ids = filter.Ids;
        _authors = filter.Authors;
        _kinds = filter.Kinds;
        _idSet = ToSet(_ids);
        _authorSet = ToSet(_authors);
        _kindSet = ToSet(_kinds);
        _since = filter.Since ?? long.MinValue;
        _until = filter.Until ?? long.MaxValue;
        _tags = [.. filter.Tags.Select(tag => new TagCondition((byte)tag.Key, tag.Value))];
    }

    public bool Matches(in NostrEventView evt)
    {
        if (!MatchesFields(evt.Id, evt.PublicKey, evt.CreatedAt, evt.Kind))
        {
            return false;
        }

        if (_tags.Length == 0)
        {
            return true;
        }

        return evt.HasCanonicalBytes ? TagsMatch(evt.Tags) : TagsMatchSlow(evt);
    }

    // Cheapest first.
    public bool MatchesFields(in Bytes32 id, in Bytes32 publicKey, long createdAt, int kind) =>
        createdAt >= _since && createdAt <= _until
        && Contains(_kinds, _kindSet, kind)
        && Contains(_authors, _authorSet, publicKey)
        && Contains(_ids, _idSet, id);

    private static HashSet<T>? ToSet<T>(T[]? values) => values is { Length: > SetThreshold } ? [.. values] : null;

    private static bool Contains<T>(T[]? values, HashSet<T>? set, T value)
        where T : IEquatable<T>
    {
        if (values is null)
        {
            return true;
        }

        return set is null ? values.AsSpan().Contains(value) : set.Contains(value);
    }

    // Escapes or blanks inside the tags: compare their canonical copy.
    private bool TagsMatchSlow(in NostrEventView evt)
    {
        var rented = ArrayPool<byte>.Shared.Rent(evt.RawTags.Length);
        try
        {
            var length = EventCanonicalForm.WriteTags(evt, rented);
            return TagsMatch(new TagEnumerator(rented.AsSpan(0, length)));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private bool TagsMatch(TagEnumerator tags)
    {
        // One bit a condition; a filter has at most 52 letters.
        var open = _tags.Length == 64 ? ulong.MaxValue : (1UL << _tags.Length) - 1;
        foreach (var tag in tags)
        {
            if (tag.Name.Length != 1 || !tag.HasValue)
            {
                continue;
            }

            for (var i = 0; i < _tags.Length; i++)
            {
                var bit = 1UL << i;
                if ((open & bit) != 0 && _tags[i].Letter == tag.Name[0] && _tags[i].Contains(tag.Value))
                {
                    open &= ~bit;
                    if (open == 0)
                    {
                        return true;
                    }
                }
            }
        }

        return false;
    }

    private sealed class TagCondition
    {
        private readonly byte[][] _values;
        private readonly HashSet<byte[]>.AlternateLookup<ReadOnlySpan<byte>>? _set;

        public TagCondition(byte letter, string[] values)
        {
            Letter = letter;
            _values = [.. values.Select(JsonText.Escape)];
            if (_values.Length > SetThreshold)
            {
                _set = new HashSet<byte[]>(_values, BytesComparer.Instance).GetAlternateLookup<ReadOnlySpan<byte>>();
            }
        }

        public byte Letter { get; }

        public bool Contains(ReadOnlySpan<byte> value)
        {
            if (_set is { } set)
            {
                return set.Contains(value);
            }

            foreach (var candidate in _values)
            {
                if (value.SequenceEqual(candidate))
                {
                    return true;
                }
            }

            return false;
        }
    }

    private sealed class BytesComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public static readonly BytesComparer Instance = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            var hash = default(HashCode); // seeded per process, so that chosen values do not collide
            hash.AddBytes(alternate);
            return hash.ToHashCode();
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
