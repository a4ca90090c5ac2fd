using System.Buffers;

namespace Marmot.Relay.Storage.Log;

/// <summary>What a read of one record came to.</summary>
internal enum LogRead
{
    Done,
    Erased,

    /// <summary>It is not what was written.</summary>
    Damaged,
}

/// <summary>The durable truth of the embedded store: every accepted event once, in arrival order, in files of fixed size.</summary>
/// <remarks>
/// One writer appends, flushes and erases; any number of readers copy out of the maps. A position is segment number times the size of a
/// segment plus offset; records do not cross segments. How it is read after a crash: <see cref="LogRecovery"/>.
/// </remarks>
internal sealed class EventLog : IDisposable
{
    private const int PageSize = 4096;
    private static readonly byte[] Zeros = new byte[64 * 1024];
    private readonly string _directory;
    private readonly LogDisk _disk;
    private readonly List<LogSegment> _dirty = [];
    private LogSegment[] _segments;
    private byte[] _pending = ArrayPool<byte>.Shared.Rent(1 << 20);
    private int _pendingSize;
    private long _pendingStart;
    private long _durableTo;

    /// <param name="directory">Where its files are; made when it is missing.</param>
    /// <param name="disk">How they are changed; null for the real disk.</param>
    /// <param name="segmentSize">Bytes of a file, the same at every start; smaller in tests.</param>
    public EventLog(string directory, LogDisk? disk = null, int segmentSize = LogSegment.DefaultSize)
    {
        _directory = directory;
        _disk = disk ?? new LogDisk();
        SegmentSize = segmentSize;
        Directory.CreateDirectory(directory);
        _segments = new LogSegment[Math.Max(1, CountFiles(directory))];
        for (var i = 0; i < _segments.Length; i++)
        {
            _segments[i] = new LogSegment(directory, i, _disk, segmentSize);
        }

        _disk.FlushFolder(directory);
    }

    /// <summary>Where the next record goes.</summary>
    public long End { get; private set; }

    /// <summary>Bytes of one file.</summary>
    public int SegmentSize { get; }

    /// <summary>The files, in order. For recovery.</summary>
    public IReadOnlyList<LogSegment> Segments => Volatile.Read(ref _segments);

    /// <summary>Everything before this position is whole and on disk. Called once, before the first append.</summary>
    public void StartAt(long end)
    {
        End = end;
        _durableTo = end;
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

        if ((int)(End % SegmentSize) + size > SegmentSize)
        {
            WritePending();
            End = (End / SegmentSize + 1) * SegmentSize;
            _pendingStart = End;
        }
        else if (_pendingSize > 0 && End % SegmentSize == 0)
        {
            WritePending(); // the last record filled its file to the byte
            _pendingStart = End;
        }

        if (_pendingSize + size > _pending.Length)
        {
            var grown = ArrayPool<byte>.Shared.Rent(Math.Max(_pendingSize + size, _pending.Length * 2));
            _pending.AsSpan(0, _pendingSize).CopyTo(grown);
            ArrayPool<byte>.Shared.Return(_pending);
            _pending = grown;
        }

        LogRecord.Write(_pending.AsSpan(_pendingSize, size), End, _durableTo, arrival, flags, json);
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
        FlushDirty();
        _durableTo = End;
    }

    /// <summary>Takes beforehand, between two batches, what room the next ones need on disk.</summary>
    public void Prepare() => SegmentFor(End).Prepare((int)(End % SegmentSize));

    /// <summary>Takes back everything appended since <paramref name="end"/>, written or not.</summary>
    public void Rollback(long end)
    {
        var written = End;
        End = end;
        _durableTo = Math.Min(_durableTo, end);
        _pendingSize = 0;
        Span<byte> page = stackalloc byte[PageSize];
        for (var position = end; position < written;)
        {
            // By pages, and only those that hold something: on a full disk there is no room for zeros where nothing was written.
            var offset = (int)(position % SegmentSize);
            var size = (int)Math.Min(written - position, PageSize - (offset % PageSize));
            if (TryLocate(position, out var segment))
            {
                segment.Read(offset, page[..size]);
                if (page[..size].ContainsAnyExcept((byte)0))
                {
                    segment.Write(offset, Zeros.AsSpan(0, size));
                    MarkDirty(segment); // the zeros come before whatever is acknowledged next
                }
            }

            position += size;
        }
    }

    /// <summary>Copies a record's JSON into <paramref name="output"/> when it is what was written.</summary>
    public LogRead TryCopy(long position, int length, IBufferWriter<byte> output)
    {
        var map = MapAt(position);
        if (!LogRecord.TryReadHeader(map, position, out var header) || header.Length != length)
        {
            // Of version 1, whose one checksum fails while the JSON is being zeroed, or damaged.
            return map.Length > LogRecord.HeaderSize && LogRecord.StateAt(map) == LogRecord.Erased ? LogRead.Erased : LogRead.Damaged;
        }

        var copy = output.GetSpan(length)[..length];
        map.Slice(header.HeaderSize, length).CopyTo(copy);
        var isWhole = LogRecord.IsWhole(header, copy);
        Interlocked.MemoryBarrier(); // the copy is read before the state: see LogRecord
        switch (LogRecord.StateAt(map))
        {
            case LogRecord.Live when isWhole:
                output.Advance(length);
                return LogRead.Done;
            case LogRecord.Erased:
                return LogRead.Erased;
            default:
                return LogRead.Damaged;
        }
    }

    /// <summary>A record's JSON in place; it may be zeroed while it is looked at, or damaged, so it is parsed, never trusted.</summary>
    public ReadOnlySpan<byte> Peek(long position, int length)
    {
        var map = MapAt(position);
        var start = LogRecord.HeaderSizeAt(map);
        return start + length <= map.Length ? map.Slice(start, length) : default;
    }

    /// <summary>As <see cref="Peek"/>, records of the batch in hand included. For the writer only.</summary>
    public ReadOnlySpan<byte> PeekAsWriter(long position, int length) =>
        _pendingSize > 0 && position >= _pendingStart
            ? _pending.AsSpan((int)(position - _pendingStart) + LogRecord.HeaderSize, length)
            : Peek(position, length);

    /// <summary>Overwrites the JSON of records: first their states, then, when those are on disk, their bytes. On return all of it is durable.</summary>
    public void Erase(IReadOnlyCollection<(long Position, int Length)> records)
    {
        foreach (var (position, _) in records)
        {
            WriteAt(LogRecord.StatePosition(position), [LogRecord.Erased]);
        }

        FlushDirty();
        foreach (var (position, length) in records)
        {
            var start = LogRecord.HeaderSizeAt(MapAt(position));
            for (var done = 0; done < length; done += Zeros.Length)
            {
                WriteAt(position + start + done, Zeros.AsSpan(0, Math.Min(Zeros.Length, length - done)));
            }
        }

        FlushDirty();
    }

    /// <summary>Puts a gap over the remains of an interrupted write, so that the next walk steps over them. Durable with the next flush.</summary>
    public void WriteGap(in LogDamage torn)
    {
        Span<byte> header = stackalloc byte[LogRecord.HeaderSize];
        if (torn.Length < header.Length)
        {
            WriteAt(torn.Position, Zeros.AsSpan(0, (int)torn.Length)); // in the unused rest of a file
            return;
        }

        LogRecord.WriteGap(header, torn.Position, (int)torn.Length);
        WriteAt(torn.Position, header);
    }

    /// <summary>Waits for the disk: for all that was written, or was so by a process that was killed, whose last batch lies in two files at most.</summary>
    public void FlushNewest()
    {
        foreach (var segment in _segments.AsSpan(Math.Max(0, _segments.Length - 2)))
        {
            MarkDirty(segment);
        }

        FlushDirty();
    }

    /// <summary>The file of a position; false behind the last one.</summary>
    public bool TryLocate(long position, out LogSegment segment)
    {
        var segments = Volatile.Read(ref _segments);
        var number = position / SegmentSize;
        segment = number < segments.Length ? segments[number] : null!;
        return number < segments.Length;
    }

    public void Dispose()
    {
        foreach (var segment in _segments)
        {
            segment.Dispose();
        }

        ArrayPool<byte>.Shared.Return(_pending);
    }

    // One that is missing between two others is made anew, and the walk finds that its records are gone.
    private static int CountFiles(string directory)
    {
        var count = 0;
        foreach (var path in Directory.EnumerateFiles(directory, "events-*.log"))
        {
            if (int.TryParse(Path.GetFileNameWithoutExtension(path).AsSpan("events-".Length), out var number))
            {
                count = Math.Max(count, number + 1);
            }
        }

        return count;
    }

    private void WritePending()
    {
        if (_pendingSize == 0)
        {
            return;
        }

        var segment = SegmentFor(_pendingStart);
        var offset = (int)(_pendingStart % SegmentSize);
        MarkDirty(segment);
        segment.Write(offset, _pending.AsSpan(0, _pendingSize));
        segment.StartFlush(offset, _pendingSize);
        _pendingSize = 0;
    }

    private void WriteAt(long position, ReadOnlySpan<byte> bytes)
    {
        var segment = Volatile.Read(ref _segments)[(int)(position / SegmentSize)];
        MarkDirty(segment);
        segment.Write((int)(position % SegmentSize), bytes);
    }

    private void FlushDirty()
    {
        foreach (var segment in _dirty)
        {
            segment.Flush();
        }

        _dirty.Clear();
    }

    // The writer's: makes the file when it is not there yet.
    private LogSegment SegmentFor(long position)
    {
        var number = (int)(position / SegmentSize);
        if (number == _segments.Length)
        {
            Volatile.Write(ref _segments, [.. _segments, new LogSegment(_directory, number, _disk, SegmentSize)]);
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
        Volatile.Read(ref _segments)[(int)(position / SegmentSize)].Map((int)(position % SegmentSize));
}
