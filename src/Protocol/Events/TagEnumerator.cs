namespace Marmot.Protocol.Events;

/// <summary>One tag in place: spans over the event's bytes, still escaped as they stand there.</summary>
/// <remarks>In an event with canonical bytes two equal strings have equal spans, so spans may be compared directly.</remarks>
public readonly ref struct TagView
{
    internal TagView(ReadOnlySpan<byte> raw)
    {
        Raw = raw;
        var cursor = new JsonCursor(raw);
        cursor.TryTake((byte)'[');
        cursor.TryReadString(out var name, out _);
        Name = name;
        if (cursor.TryTake((byte)','))
        {
            cursor.TryReadString(out var value, out _);
            Value = value;
            HasValue = true;
        }
    }

    /// <summary>The whole tag, a JSON array.</summary>
    public ReadOnlySpan<byte> Raw { get; }

    /// <summary>First item, escaped, without quotes.</summary>
    public ReadOnlySpan<byte> Name { get; }

    /// <summary>Second item, escaped, without quotes; empty when the tag has none.</summary>
    public ReadOnlySpan<byte> Value { get; }

    /// <summary>True when there is a second item, even an empty one.</summary>
    public bool HasValue { get; }

    /// <summary>Number of items, the name included.</summary>
    public int Count
    {
        get
        {
            var items = Items;
            var count = 0;
            while (items.MoveNext())
            {
                count++;
            }

            return count;
        }
    }

    /// <summary>All items, the name first.</summary>
    public TagItemEnumerator Items => new(Raw);
}

/// <summary>Walks the tags of one event without allocating.</summary>
public ref struct TagEnumerator
{
    private readonly ReadOnlySpan<byte> _rawTags;
    private JsonCursor _cursor;
    private bool _started;

    internal TagEnumerator(ReadOnlySpan<byte> rawTags)
    {
        _rawTags = rawTags;
        _cursor = new JsonCursor(rawTags);
    }

    /// <summary>The tag under the cursor.</summary>
    public TagView Current { get; private set; }

    /// <summary>Itself, so that <c>foreach</c> works.</summary>
    public readonly TagEnumerator GetEnumerator() => this;

    /// <summary>Goes to the next tag.</summary>
    public bool MoveNext()
    {
        if (!_cursor.TryTake(_started ? (byte)',' : (byte)'['))
        {
            return false;
        }

        _started = true;
        _cursor.SkipBlanks();
        var start = _cursor.Position;
        if (!_cursor.TryTake((byte)'['))
        {
            return false; // "[]": no tags at all
        }

        do
        {
            _cursor.TryReadString(out _, out _);
        }
        while (_cursor.TryTake((byte)','));

        _cursor.TryTake((byte)']');
        Current = new TagView(_rawTags[start.._cursor.Position]);
        return true;
    }
}

/// <summary>Walks the items of one tag without allocating; each is escaped, without quotes.</summary>
public ref struct TagItemEnumerator
{
    private JsonCursor _cursor;
    private bool _started;

    internal TagItemEnumerator(ReadOnlySpan<byte> rawTag) => _cursor = new JsonCursor(rawTag);

    /// <summary>The item under the cursor.</summary>
    public ReadOnlySpan<byte> Current { get; private set; }

    /// <summary>Itself, so that <c>foreach</c> works.</summary>
    public readonly TagItemEnumerator GetEnumerator() => this;

    /// <summary>Goes to the next item.</summary>
    public bool MoveNext()
    {
        if (!_cursor.TryTake(_started ? (byte)',' : (byte)'['))
        {
            return false;
        }

        _started = true;
        if (!_cursor.TryReadString(out var item, out _))
        {
            return false;
        }

        Current = item;
        return true;
    }
}
