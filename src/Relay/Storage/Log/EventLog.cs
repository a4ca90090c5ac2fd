using System.Buffers;

namespace Marmot.Relay.Storage.Log;

/// <summary>The durable truth of the embedded store: every accepted event once, in arrival order, in files of fixed size.</summary>
/// <remarks>
/// One writer appends, flushes and erases; any number of readers copy out of the maps. A position is segment number times
/// <see cref="LogSegment.Size"/> plus offset; records do not cross segments.
/// </remarks>
internal sealed class EventLog : IDisposable
{
    private const int PageSize = 4096;
    private static readonly byte[] Zeros = new byte[64 * 1024];
    private readonly string _directory;
    private readonly List<LogSegment> _dirty = [];
    private LogSegment[] _segments;
    private byte[] _pending = ArrayPool<byte>.Shared.Rent(1 << 20);
    private int _pendingSize;
    private long _pendingStart;

    public EventLog(string directory)
    {
        _directory = directory;
        Directory.CreateDirectory(directory);
        var count = 0;
        while (File.Exists(Path.Combine(directory, LogSegment.FileName(count))))
        {
            count++;
        }

        _segments = new LogSegment[Math.Max(1, count)];
        for (var i = 0; i < _segments.Length; i++)
        {
            _segments[i] = new LogSegment(directory, i);
        }
    }

    /// <summary>Where the next record goes.</summary>
    public long End { get; private set; }

    /// <summary>Walks the records from a position on, sets <see cref="End"/> behind the last good one and clears what follows it.</summary>
    /// <param name="from">Start of a record, or the end.</param>
    /// <param name="visit">Position, arrival, flags, JSON; not called for erased records.</param>
    public void Recover(long from, RecordVisitor visit)
    {
        var position = from;
        var expected = 0UL;
        while (TryLocate(position, out var segment, out var offset))
        {
            if (!HasRecord(segment, offset)
                || !LogRecord.TryRead(segment.Map(offset), out var arrival, out var flags, out var length, out var erased)
                || (expected != 0 && arrival <= expected))
            {
                if (offset > 0 && HasRecords(segment.Number + 1))
                {
                    position = (long)(segment.Number + 1) * LogSegment.Size; // the rest of a full segment is empty
                    continue;
                }

                break;
            }

            if (!erased)
            {
                visit(position, arrival, flags, segment.Map(offset).Slice(LogRecord.HeaderSize, length));
            }
            else
            {
                visit(position, arrival, flags, default);
            }

            expected = arrival;
            position += LogRecord.SizeOf(length);
        }

        End = position;
        if (TryLocate(position, out var last, out var end) && IsDirtyFrom(last, end))
        {
            last.CutOff(end); // a torn, never acknowledged tail
        }

        // What a killed process wrote last may not be on the disk yet, and counts as stored from now on. A batch lies in two files at most.
        for (var number = Math.Max(0, _segments.Length - 2); number < _segments.Length; number++)
        {
            _segments[number].Flush();
        }
    }

    /// <summary>Adds a record to the batch; it need not be written before <see cref="Write"/>.</summary>
    /// <returns>Its position.</returns>
    public long Append(ulong arrival, byte flags, ReadOnlySpan<byte> json)
    {
        var size = LogRecord.SizeOf(json.Length);
        if (_pendingSize == 0)
        {
            _pendingStart = End;
        }

        if ((int)(End % LogSegment.Size) + size > LogSegment.Size)
        {
            WritePending();
            End = (End / LogSegment.Size + 1) * LogSegment.Size;
            _pendingStart = End;
        }

        if (_pendingSize + size > _pending.Length)
        {
            var grown = ArrayPool<byte>.Shared.Rent(Math.Max(_pendingSize + size, _pending.Length * 2));
            _pending.AsSpan(0, _pendingSize).CopyTo(grown);
            ArrayPool<byte>.Shared.Return(_pending);
            _pending = grown;
        }

        LogRecord.Write(_pending.AsSpan(_pendingSize, size), arrival, flags, json);
        var position = End;
        _pendingSize += size;
        End += size;
        return position;
    }

    /// <summary>Writes the batch and lets the disk begin with it.</summary>
    public void Write() => WritePending();

    /// <summary>Writes the batch and waits for the disk.</summary>
    public void Flush()
    {
        WritePending();
        foreach (var segment in _dirty)
        {
            segment.Flush();
        }

        _dirty.Clear();
    }

    /// <summary>Takes beforehand, between two batches, what room the next ones need on disk.</summary>
    public void Prepare() => SegmentFor(End).Prepare((int)(End % LogSegment.Size));

    /// <summary>Takes back everything appended since <paramref name="end"/>, written or not.</summary>
    public void Rollback(long end)
    {
        var written = End;
        End = end;
        _pendingSize = 0;
        _dirty.Clear();
        Span<byte> page = stackalloc byte[PageSize];
        for (var position = end; position < written;)
        {
            // By pages, and only those that hold something: on a full disk there is no room for zeros where nothing was written.
            var offset = (int)(position % LogSegment.Size);
            var size = (int)Math.Min(written - position, PageSize - (offset % PageSize));
            if (TryLocate(position, out var segment, out _))
            {
                segment.Read(offset, page[..size]);
                if (page[..size].ContainsAnyExcept((byte)0))
                {
                    segment.Write(offset, Zeros.AsSpan(0, size));
                }
            }

            position += size;
        }
    }

    /// <summary>Copies a record's JSON into <paramref name="output"/>; false when it was erased.</summary>
    public bool TryCopy(long position, int length, IBufferWriter<byte> output)
    {
        var map = MapAt(position);
        map.Slice(LogRecord.HeaderSize, length).CopyTo(output.GetSpan(length));
        Interlocked.MemoryBarrier(); // the copy is read before the state: see LogRecord
        if (LogRecord.IsErased(map))
        {
            return false;
        }

        output.Advance(length);
        return true;
    }

    /// <summary>A record's JSON in place; it may be zeroed while it is looked at, so it is parsed, never trusted.</summary>
    public ReadOnlySpan<byte> Peek(long position, int length) => MapAt(position).Slice(LogRecord.HeaderSize, length);

    /// <summary>As <see cref="Peek"/>, records of the batch in hand included. For the writer only.</summary>
    public ReadOnlySpan<byte> PeekAsWriter(long position, int length) =>
        _pendingSize > 0 && position >= _pendingStart
            ? _pending.AsSpan((int)(position - _pendingStart) + LogRecord.HeaderSize, length)
            : Peek(position, length);

    /// <summary>Overwrites a record's JSON; durable after <see cref="FlushErased"/>.</summary>
    public void Erase(long position, int length)
    {
        var segment = Volatile.Read(ref _segments)[(int)(position / LogSegment.Size)];
        var offset = (int)(position % LogSegment.Size);
        segment.Write((int)LogRecord.StatePosition(offset), [LogRecord.Erased]);
        for (var done = 0; done < length; done += Zeros.Length)
        {
            segment.Write(offset + LogRecord.HeaderSize + done, Zeros.AsSpan(0, Math.Min(Zeros.Length, length - done)));
        }

        MarkDirty(segment);
    }

    public void FlushErased()
    {
        foreach (var segment in _dirty)
        {
            segment.Flush();
        }

        _dirty.Clear();
    }

    public void Dispose()
    {
        foreach (var segment in _segments)
        {
            segment.Dispose();
        }

        ArrayPool<byte>.Shared.Return(_pending);
    }

    private void WritePending()
    {
        if (_pendingSize == 0)
        {
            return;
        }

        var segment = SegmentFor(_pendingStart);
        var offset = (int)(_pendingStart % LogSegment.Size);
        segment.Write(offset, _pending.AsSpan(0, _pendingSize));
        segment.StartFlush(offset, _pendingSize);
        MarkDirty(segment);
        _pendingSize = 0;
    }

    // The writer's: makes the file when it is not there yet.
    private LogSegment SegmentFor(long position)
    {
        var number = (int)(position / LogSegment.Size);
        if (number == _segments.Length)
        {
            Volatile.Write(ref _segments, [.. _segments, new LogSegment(_directory, number)]);
        }

        return _segments[number];
    }

    private void MarkDirty(LogSegment segment)
    {
        if (!_dirty.Contains(segment))
        {
            _dirty.Add(segment);
        }
    }

    private ReadOnlySpan<byte> MapAt(long position) =>
        Volatile.Read(ref _segments)[(int)(position / LogSegment.Size)].Map((int)(position % LogSegment.Size));

    private bool TryLocate(long position, out LogSegment segment, out int offset)
    {
        var number = (int)(position / LogSegment.Size);
        offset = (int)(position % LogSegment.Size);
        segment = number < _segments.Length ? _segments[number] : null!;
        return number < _segments.Length;
    }

    private bool HasRecords(int number) =>
        number < _segments.Length && HasRecord(_segments[number], 0) && LogRecord.TryRead(_segments[number].Map(0), out _, out _, out _, out _);

    // A look at the header by a call, so that the map is touched only where something was written.
    private static bool HasRecord(LogSegment segment, int offset)
    {
        Span<byte> header = stackalloc byte[LogRecord.HeaderSize];
        if (offset + header.Length > LogSegment.Size)
        {
            return false;
        }

        segment.Read(offset, header);
        return header.ContainsAnyExcept((byte)0);
    }

    private static bool IsDirtyFrom(LogSegment segment, int offset)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        try
        {
            for (; offset < LogSegment.Size; offset += buffer.Length)
            {
                var part = buffer.AsSpan(0, Math.Min(buffer.Length, LogSegment.Size - offset));
                segment.Read(offset, part);
                if (part.ContainsAnyExcept((byte)0))
                {
                    return true;
                }
            }

            return false;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}

/// <summary>Takes one record of the log; the JSON is empty when it was erased.</summary>
internal delegate void RecordVisitor(long position, ulong arrival, byte flags, ReadOnlySpan<byte> json);
