using Marmot.Platform.Files;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;

namespace Marmot.Relay.Operator;

/// <summary>Copies the live records of a stopped store into a new log and has the index built anew.</summary>
/// <remarks>
/// The old log is deleted only when the new one was read back and holds every event that the index knew: where the log is damaged, compaction stops and changes
/// nothing, unless the operator says that it may go on without the damaged records. Their bytes are kept (<see cref="DamagedBytes"/>).
/// </remarks>
internal static class StoreCompaction
{
    private const int RecordsBetweenFlushes = 1000;

    /// <param name="directory">The relay's data directory.</param>
    /// <param name="date">What has ended by it is left out.</param>
    /// <param name="seams">What the store is opened with.</param>
    /// <param name="dropDamaged">True to leave out what cannot be read.</param>
    /// <returns>Bytes of the log before and after.</returns>
    /// <exception cref="IOException">The log holds fewer events than the index knows; nothing was changed.</exception>
    public static async Task<(long Before, long After)> RunAsync(string directory, DateTimeOffset date, StoreSeams? seams = null, bool dropDamaged = false)
    {
        // 1. Finish what is waiting to be erased, so that only live records remain; the index is rebuilt afterwards.
        seams ??= new StoreSeams();
        StoreStatistics before;
        await using (var store = EmbeddedEventStore.Open(directory, seams: seams))
        {
            while (await store.MaintainAsync(date.ToUnixTimeSeconds(), CancellationToken.None))
            {
            }

            before = await store.ReadStatisticsAsync(CancellationToken.None);
        }

        // 2. Copy, and read the copy.
        var paths = new StorePaths(directory);
        DeleteFolder(paths.NewLog);
        var (copied, after) = Copy(paths, seams);
        if (copied < before.Events && !dropDamaged)
        {
            DeleteFolder(paths.NewLog);
            throw new IOException(
                $"the log holds {copied} of the {before.Events} events that the index knows; nothing was changed. What is damaged is "
                    + $"kept in {paths.Damaged}. With --drop-damaged the rest is compacted without it");
        }

        if (Count(paths.NewLog, seams) != copied)
        {
            DeleteFolder(paths.NewLog);
            throw new IOException("the compacted log cannot be read back; nothing was changed");
        }

        // 3. Swap. StorePaths.Repair finishes or undoes this after a crash at any point.
        File.Delete(paths.Mark);
        Folders.Flush(directory);
        Directory.Move(paths.Log, paths.OldLog);
        Folders.Flush(directory);
        Directory.Move(paths.NewLog, paths.Log);
        Folders.Flush(directory);
        DeleteFolder(paths.OldLog);
        await using var reopened = EmbeddedEventStore.Open(directory, rebuild: true, seams);
        return (before.LogBytes, after);
    }

    private static (long Copied, long End) Copy(StorePaths paths, StoreSeams seams)
    {
        using var source = new EventLog(paths.Log, segmentSize: seams.SegmentSize);
        using var target = new EventLog(paths.NewLog, segmentSize: seams.SegmentSize);
        var waiting = 0;
        var walk = LogRecovery.Walk(source, from: 0, after: 0, cleanEnd: long.MaxValue, (in LogEntry entry, ReadOnlySpan<byte> json) =>
        {
            if (!json.IsEmpty)
            {
                target.Append(entry.Arrival, (byte)(entry.Flags & ~LogRecord.Deferred), json);
                if (++waiting % RecordsBetweenFlushes == 0)
                {
                    target.Flush();
                }
            }
        });
        target.Flush();
        var damaged = new DamagedBytes(paths.Damaged, seams.Log);
        foreach (var damage in walk.Damage)
        {
            damaged.Keep(damage, LogRecovery.Copy(source, damage.Position, damage.Length));
        }

        return (walk.Records, target.End);
    }

    private static long Count(string folder, StoreSeams seams)
    {
        using var log = new EventLog(folder, segmentSize: seams.SegmentSize);
        return LogRecovery.Walk(log, from: 0, after: 0, cleanEnd: long.MaxValue, static (in LogEntry _, ReadOnlySpan<byte> _) => { }).Records;
    }

    private static void DeleteFolder(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
