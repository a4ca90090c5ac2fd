using System.Buffers.Text;
using System.Text;
using Marmot.Relay.Storage;
using Marmot.Relay.Storage.Log;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>
/// How long the relay takes from the start of its process to the first open connection: with the index built anew from the log, after a clean stop and
/// after kill -9.
/// </summary>
/// <remarks>
/// The events go straight into the log, as the relay would have written them: a start checks no signature, so they bear none, and half an hour of
/// signing is saved. The log is in the system's file cache when the relay starts, so the disk's speed of reading does not count.
/// </remarks>
internal static class StartLoad
{
    private const int FlushEvery = 20_000;
    private const int Starts = 3;
    private const int Authors = 5_000;
    private const int Groups = 50_000;

    /// <summary>What the tables say of one number of events.</summary>
    /// <param name="LogBytes">Bytes of the log.</param>
    /// <param name="IndexBytes">Bytes that the index takes on disk.</param>
    /// <param name="Rebuilt">Start with the index built anew.</param>
    /// <param name="Clean">Start after a clean stop; the median.</param>
    /// <param name="Killed">Start after kill -9 beside writes; the median.</param>
    public readonly record struct Result(long LogBytes, long IndexBytes, TimeSpan Rebuilt, TimeSpan Clean, TimeSpan Killed);

    /// <param name="count">Events in the log.</param>
    public static async Task<Result> RunAsync(int count)
    {
        using var relay = new OwnRelay();
        var paths = new StorePaths(Path.Combine(relay.Directory, "relay"));
        var bytes = await FillAsync(paths, count);

        // 1. Nothing but the log.
        Directory.Delete(paths.Index, recursive: true);
        var rebuilt = relay.Start();
        relay.Stop();
        var index = new DirectoryInfo(paths.Index).EnumerateFiles().Sum(file => file.Length);

        // 2. Each kind of end, several times.
        List<TimeSpan> clean = [], killed = [];
        for (var i = 0; i < Starts; i++)
        {
            clean.Add(relay.Start());
            PublishLoad.Run(relay, [.. Events.GroupEvents(300, 10).Select(Events.EventFrame)], 1, 1);
            relay.Kill();
            killed.Add(relay.Start());
            relay.Stop();
        }

        return new Result(bytes, index, rebuilt, clean.Order().ElementAt(Starts / 2), killed.Order().ElementAt(Starts / 2));
    }

    private static async Task<long> FillAsync(StorePaths paths, int count)
    {
        // The store makes its own folders and stamp; then its log alone is written to.
        await using (EmbeddedEventStore.Open(Path.GetDirectoryName(paths.Log)!))
        {
        }

        var writer = new EventText(new Random(7), DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        using var log = new EventLog(paths.Log);
        log.StartAt(0);
        for (var i = 1; i <= count; i++)
        {
            log.Append((ulong)i, flags: 0, writer.Next(i));
            if (i % FlushEvery == 0)
            {
                log.Flush();
            }
        }

        log.Flush();
        return log.End;
    }

    // 80 of 100 are group events, 10 notes and reactions, 10 gift wraps; of half a kilobyte, over thirty days, in the order of their dates but for
    // some minutes.
    private sealed class EventText(Random random, long now)
    {
        private readonly string[] _authors = Names(random, Authors);
        private readonly string[] _groups = Names(random, Groups);
        private readonly byte[] _noise = new byte[150];
        private readonly string _signature = new('0', 128);

        public byte[] Next(int i)
        {
            var (id, oneTime) = (Name(random), Name(random));
            var author = _authors[random.Next(Authors)];
            var at = now - (30 * 86_400) + (long)(i / 10_000_000.0 * 30 * 86_400) - random.Next(600);
            random.NextBytes(_noise);
            var content = Base64Url.EncodeToString(_noise);
            var (key, kind, tag, value) = (i % 100) switch
            {
                < 80 => (oneTime, 445, "h", _groups[random.Next(Groups)]),
                < 90 => (author, i % 2 == 0 ? 1 : 7, "t", $"t{random.Next(50)}"),
                _ => (oneTime, 1059, "p", author),
            };
            var head = $$"""{"id":"{{id}}","pubkey":"{{key}}","created_at":{{at}},"kind":{{kind}},"tags":[["{{tag}}","{{value}}"]],""";
            return Encoding.ASCII.GetBytes($$"""{{head}}"content":"{{content}}","sig":"{{_signature}}"}""");
        }

        private static string[] Names(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => Name(random))];

        private static string Name(Random random)
        {
            Span<byte> bytes = stackalloc byte[32];
            random.NextBytes(bytes);
            return Convert.ToHexStringLower(bytes);
        }
    }
}
