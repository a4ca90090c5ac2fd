using Marmot.Relay.Storage.Log;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Storage;

/// <summary>The event log against a list of what it should hold.</summary>
public sealed class EventLogTests
{
    private const int Steps = 1500;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Holds_what_was_flushed_and_neither_less_nor_more_whatever_happens_between(int seed)
    {
        using var folder = new TemporaryFolder();
        var random = new Random(seed);
        var kept = new List<Entry>();
        var waiting = new List<Entry>();
        var arrival = 0UL;
        var log = new EventLog(folder.Path);
        var flushed = 0L;
        for (var step = 0; step < Steps; step++)
        {
            switch (random.Next(12))
            {
                case < 6:
                    var json = new byte[random.Next(1, random.Next(12) == 0 ? 3 << 20 : 2000)];
                    random.NextBytes(json);
                    waiting.Add(new Entry(++arrival, log.Append(arrival, 0, json), json));
                    break;
                case < 9:
                    log.Flush();
                    flushed = log.End;
                    kept.AddRange(waiting);
                    waiting.Clear();
                    log.Prepare();
                    break;
                case 9:
                    log.Rollback(flushed);
                    waiting.Clear();
                    log.Prepare();
                    break;
                case 10 when kept.Count > 0 && waiting.Count == 0:
                    var gone = random.Next(kept.Count);
                    log.Erase([(kept[gone].Position, kept[gone].Json.Length)]);
                    kept[gone] = kept[gone] with { IsErased = true };
                    break;
                case 11 when random.Next(10) == 0:
                    log.Dispose(); // what waited was never written
                    waiting.Clear();
                    log = new EventLog(folder.Path);
                    Assert.Equal(kept, Recover(log));
                    Assert.Equal(flushed, log.End);
                    break;
            }
        }

        log.Dispose();
        using var last = new EventLog(folder.Path);
        Assert.Equal(kept, Recover(last));
    }

    [Fact]
    public void Room_taken_beforehand_is_not_taken_again_and_the_file_grows_no_further_while_it_lasts()
    {
        if (!OperatingSystem.IsLinux())
        {
            return; // stat -c is how the blocks are counted
        }

        using var folder = new TemporaryFolder();
        using var log = new EventLog(folder.Path);
        var file = Path.Combine(folder.Path, LogSegment.FileName(0));
        log.Prepare();
        var taken = Blocks(file);
        Assert.InRange(taken, 1 << 20, 2 << 20);
        for (var arrival = 1UL; log.End < 512 * 1024; arrival++)
        {
            log.Append(arrival, 0, new byte[1000]);
            log.Flush();
            log.Prepare();
            Assert.Equal(taken, Blocks(file));
        }
    }

    private static long Blocks(string file)
    {
        using var stat = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("stat", ["-c", "%b", file])
        {
            RedirectStandardOutput = true,
        })!;
        return 512 * long.Parse(stat.StandardOutput.ReadToEnd(), System.Globalization.CultureInfo.InvariantCulture);
    }

    private static List<Entry> Recover(EventLog log)
    {
        var found = new List<Entry>();
        LogRecovery.Run(
            log,
            from: 0,
            after: 0,
            cleanEnd: 0,
            (in LogEntry entry, ReadOnlySpan<byte> json) => found.Add(new Entry(entry.Arrival, entry.Position, json.ToArray()) { IsErased = json.IsEmpty }),
            (_, _) => Assert.Fail("nothing was damaged"));
        return found;
    }

    // Two erased ones are equal whatever they held.
    private sealed record Entry(ulong Arrival, long Position, byte[] Json)
    {
        public bool IsErased { get; init; }

        public bool Equals(Entry? other) => other is not null && Arrival == other.Arrival && Position == other.Position
            && IsErased == other.IsErased && (IsErased || Json.AsSpan().SequenceEqual(other.Json));

        public override int GetHashCode() => Arrival.GetHashCode();
    }
}
