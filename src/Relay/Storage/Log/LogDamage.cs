namespace Marmot.Relay.Storage.Log;

/// <summary>A part of the log that holds no whole record where one has to be.</summary>
/// <param name="Position">Where it begins.</param>
/// <param name="Length">Bytes.</param>
/// <param name="IsTorn">True when it can be what an interrupted write left, which nobody was told of; false when it was on disk once, whole.</param>
internal readonly record struct LogDamage(long Position, long Length, bool IsTorn);

/// <summary>What a walk over the log found.</summary>
/// <param name="End">Behind the last record.</param>
/// <param name="Last">The highest arrival number, also of records whose JSON is damaged; what the walk began after when there is none.</param>
/// <param name="Records">Whole live records.</param>
/// <param name="Damage">What is not whole before the end, in order.</param>
/// <param name="Unfinished">Positions and JSON lengths of erased records whose bytes were not overwritten yet.</param>
internal sealed record LogWalk(long End, ulong Last, long Records, IReadOnlyList<LogDamage> Damage, IReadOnlyList<(long Position, int Length)> Unfinished);

/// <summary>One record as a walk hands it out.</summary>
/// <param name="Position">Where it begins.</param>
/// <param name="Arrival">Arrival number.</param>
/// <param name="Flags">Flags of <see cref="LogRecord"/>.</param>
/// <param name="DurableTo">Up to where the log was flushed when it was appended; its own position in version 1, where each record vouched for those
/// before.</param>
internal readonly record struct LogEntry(long Position, ulong Arrival, byte Flags, long DurableTo);

/// <summary>Takes one record of the log; the JSON is empty when it was erased.</summary>
internal delegate void RecordVisitor(in LogEntry entry, ReadOnlySpan<byte> json);
