namespace Marmot.Relay.Storage.Log;

/// <summary>Reads the log after a start: walks its records, tells a torn end from damage, and makes it ready for the next append.</summary>
/// <remarks>
/// The rules. The log ends only where nothing valid follows. What is not whole before that costs itself alone: the walk goes on at the next record, found by
/// its magic and checksum. It was damaged when it had been on disk: when a later record was appended after a flush that covered it, or the store was closed
/// behind it. Else it can be the rest of a last batch that the disk got only parts of, of which nothing was acknowledged: that is torn. Damage is never written
/// to. Bytes that the recovery overwrites (a torn end, and where a torn record was) are handed out first.
/// </remarks>
internal static class LogRecovery
{
    /// <summary>Walks the records and changes nothing.</summary>
    /// <param name="log">The log.</param>
    /// <param name="from">Start of a record, or the end.</param>
    /// <param name="after">Arrival number that all records from there on are above.</param>
    /// <param name="cleanEnd">Up to where the log is known to have been whole; 0 when nothing is.</param>
    /// <param name="visit">Takes the whole records, also the erased ones.</param>
    public static LogWalk Walk(EventLog log, long from, ulong after, long cleanEnd, RecordVisitor visit) => new Walker(log, after, cleanEnd).Run(from, visit);

    /// <summary>Walks the records and sets the log's end behind the last one.</summary>
    /// <param name="log">The log.</param>
    /// <param name="from">Start of a record, or the end.</param>
    /// <param name="after">Arrival number that all records from there on are above.</param>
    /// <param name="cleanEnd">Up to where the log is known to have been whole.</param>
    /// <param name="visit">Takes the whole records, also the erased ones.</param>
    /// <param name="keep">Takes each part that is not whole, with its bytes, before anything is overwritten.</param>
    public static LogWalk Run(EventLog log, long from, ulong after, long cleanEnd, RecordVisitor visit, Action<LogDamage, byte[]> keep)
    {
        var walk = Walk(log, from, after, cleanEnd, visit);
        log.StartAt(walk.End);
        foreach (var damage in walk.Damage)
        {
            keep(damage, Copy(log, damage.Position, damage.Length));
            if (damage.IsTorn)
            {
                log.WriteGap(damage);
            }
        }

        ClearEnd(log, walk.End, cleanEnd, keep);
        log.FlushNewest(); // what a killed process wrote last counts as stored from now on
        if (walk.Unfinished.Count > 0)
        {
            log.Erase(walk.Unfinished);
        }

        return walk with { End = log.End };
    }

    // What stands behind the end is no record: of a batch that the disk got only parts of, or of a last record that is damaged, which looks the same
    // unless the store was closed behind it.
    private static void ClearEnd(EventLog log, long end, long cleanEnd, Action<LogDamage, byte[]> keep)
    {
        foreach (var segment in log.Segments)
        {
            var from = (int)Math.Clamp(end - segment.Start, 0, log.SegmentSize);
            if (from == log.SegmentSize || segment.Find(from, ulong.MaxValue, out var dirtyTo) >= 0 || dirtyTo == from)
            {
                continue;
            }

            var rest = new LogDamage(segment.Start + from, dirtyTo - from, IsTorn: segment.Start + from >= cleanEnd);
            keep(rest, Copy(log, rest.Position, rest.Length));
            if (rest.IsTorn)
            {
                segment.CutOff(from);
            }
            else
            {
                log.StartAt(segment.Start + ((dirtyTo + 7) & ~7));
            }
        }
    }

    /// <summary>The bytes of a part of the log; none beyond the end of its file.</summary>
    public static byte[] Copy(EventLog log, long position, long length)
    {
        var bytes = new byte[Math.Min(length, log.SegmentSize - (position % log.SegmentSize))];
        if (log.TryLocate(position, out var segment))
        {
            segment.Read((int)(position - segment.Start), bytes);
        }

        return bytes;
    }

    private sealed class Walker(EventLog log, ulong after, long cleanEnd)
    {
        private const ulong MaxGuess = 1 << 20;
        private readonly List<LogDamage> _damage = [];
        private readonly List<(long, int)> _unfinished = [];
        private int _undecided; // those before are known to be damage
        private ulong _last = after;
        private ulong _lastErased;
        private long _records;

        public LogWalk Run(long from, RecordVisitor visit)
        {
            var position = from;
            while (log.TryLocate(position, out var segment))
            {
                var offset = (int)(position - segment.Start);
                if (TryRead(segment, offset, out var header))
                {
                    Take(segment, offset, header, visit);
                    position += header.Size;
                    continue;
                }

                // No record: the end, the unused rest of a full file, or damage.
                var next = segment.Find(offset, _last, out var dirtyTo);
                if (next >= 0)
                {
                    Note(position, next - offset);
                    position = segment.Start + next;
                }
                else if (FindLater(segment.Number + 1) is { } later)
                {
                    if (dirtyTo > offset || offset == 0)
                    {
                        Note(position, offset == 0 ? log.SegmentSize : dirtyTo - offset);
                    }

                    position = later;
                }
                else
                {
                    break;
                }
            }

            // What version 1 says of erased records is believed only as far as it makes sense.
            var last = _lastErased > _last && _lastErased - _last < MaxGuess ? _lastErased : _last;
            return new LogWalk(position, last, _records,
                [.. _damage.Select((damage, i) => damage with { IsTorn = i >= _undecided && damage.Position >= cleanEnd })], _unfinished);
        }

        private bool TryRead(LogSegment segment, int offset, out LogHeader header)
        {
            header = default;
            return segment.HasBytes(offset)
                && LogRecord.TryReadHeader(segment.Map(offset), segment.Start + offset, out header)
                && (header.Arrival > _last || header.IsGap);
        }

        private void Take(LogSegment segment, int offset, in LogHeader header, RecordVisitor visit)
        {
            var position = segment.Start + offset;
            if (header.IsGap)
            {
                return;
            }

            var durableTo = header.DurableTo ?? position;
            while (_undecided < _damage.Count && _damage[_undecided].Position < durableTo)
            {
                _undecided++;
            }

            if (header.IsTrusted)
            {
                _last = header.Arrival;
            }
            else
            {
                _lastErased = header.Arrival;
            }

            var entry = new LogEntry(position, header.Arrival, header.Flags, durableTo);
            var json = segment.Map(offset).Slice(header.HeaderSize, header.Length);
            if (header.State == LogRecord.Erased)
            {
                if (json.ContainsAnyExcept((byte)0))
                {
                    _unfinished.Add((position, header.Length));
                }

                visit(entry, default);
            }
            else if (header.State == LogRecord.Live && LogRecord.IsWhole(header, json))
            {
                _records++;
                visit(entry, json);
            }
            else
            {
                Note(position, header.Size);
            }
        }

        private void Note(long position, long length) => _damage.Add(new LogDamage(position, length, IsTorn: false));

        // The beginning of the next file, when that or a later one holds a record.
        private long? FindLater(int number)
        {
            for (var later = number; later < log.Segments.Count; later++)
            {
                if (log.Segments[later].Find(0, _last, out _) >= 0)
                {
                    return log.Segments[number].Start;
                }
            }

            return null;
        }
    }
}
