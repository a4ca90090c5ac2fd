using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;

namespace Marmot.Relay.Operator;

/// <summary>Copies the live records of a stopped store into a new log and lets the index be rebuilt.</summary>
internal static class StoreCompaction
{
    public static async Task<(long Before, long After)> RunAsync(string directory)
    {
        // 1. Finish what is waiting to be erased, so that only live records remain; the index is rebuilt afterwards.
        long before;
        await using (var store = EmbeddedEventStore.Open(directory))
        {
            while (await store.MaintainAsync(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds(), CancellationToken.None))
            {
            }

            before = (await store.ReadStatisticsAsync(CancellationToken.None)).LogBytes;
        }

        // 2. Copy.
        var paths = new StorePaths(directory);
        if (Directory.Exists(paths.NewLog))
        {
            Directory.Delete(paths.NewLog, recursive: true);
        }

        long after;
        using (var source = new EventLog(paths.Log))
        using (var target = new EventLog(paths.NewLog))
        {
            var waiting = 0;
            source.Recover(0, (_, arrival, flags, json) =>
            {
                if (!json.IsEmpty)
                {
                    target.Append(arrival, flags, json);
                    if (++waiting % 1000 == 0)
                    {
                        target.Flush();
                    }
                }
            });
            target.Flush();
            after = target.End;
        }

        // 3. Swap. StorePaths.Repair finishes or undoes this after a crash at any point.
        File.Delete(paths.Mark);
        Directory.Move(paths.Log, paths.OldLog);
        Directory.Move(paths.NewLog, paths.Log);
        Directory.Delete(paths.OldLog, recursive: true);
        await using var reopened = EmbeddedEventStore.Open(directory, rebuild: true);
        return (before, after);
    }
}
