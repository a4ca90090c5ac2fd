using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Marmot.Benchmarks.Blossom;

/// <summary>Uploads beside nginx's dav module and OpenSSL's SHA-256, downloads beside nginx static; rounds of both sides alternate and medians are
/// compared.</summary>
internal static class BlossomBenchmark
{
    private const int KiB = 1024;
    private const int MiB = 1024 * KiB;
    private const int StuckUploads = 2000;

    private static readonly List<string> Missed = [];

    public static async Task<int> RunAsync(string only, int rounds, string folder)
    {
        var data = Directory.CreateDirectory(Path.Combine(folder, $"blossom-bench-{Environment.ProcessId}")).FullName;
        try
        {
            using var blossom = await Server.StartBlossomAsync(Path.Combine(data, "blossom"));
            using var plain = await Server.StartBlossomAsync(Path.Combine(data, "plain"), "--Public:Shortcuts=false"); // decision 15
            using var nginx = await Server.StartNginxAsync(Path.Combine(data, "nginx"));
            var sha = HashSpeed();
            Console.WriteLine(
                string.Create(CultureInfo.InvariantCulture,
                    $"{rounds} rounds, {Environment.ProcessorCount} cores shared by servers and generator; OpenSSL SHA-256 on one core {sha:F0} MB/s; nginx "
                        + $"stores without hash, token or fsync"));
            await PutAsync(blossom, nginx, 1, KiB, 6000, 8, 0); // warm: figures are of code that is compiled to the end
            Console.WriteLine($"{"",-34}{"blossom",14}{"nginx",14}{"ratio",8}  target");
            foreach (var (name, measure) in ((string, Func<Task>)[])
            [
                ("put-1k", () => PutAsync(blossom, nginx, rounds, KiB, 6000, 8, 0)),
                ("put-100k", () => PutAsync(blossom, nginx, rounds, 100 * KiB, 800, 8, 0)),
                ("put-10m", () => PutAsync(blossom, nginx, rounds, 10 * MiB, 24, 4, sha)),
                ("put-1g", () => PutHugeAsync(blossom, nginx)),
                ("get-1k", () => GetAsync(blossom, nginx, rounds, KiB, 20_000, 32, 0.9)),
                ("get-1k-plain", () => GetPlainAsync(plain, nginx, rounds)),
                ("get-100k", () => GetAsync(blossom, nginx, rounds, 100 * KiB, 4000, 32, null)),
                ("get-10m", () => GetAsync(blossom, nginx, rounds, 10 * MiB, 60, 4, 1.0)),
                ("get-1g", () => GetAsync(blossom, nginx, rounds, 1024L * MiB, 2, 1, null)),
                ("range-1", () => RangeAsync(blossom, nginx, rounds, 1)),
                ("range-16", () => RangeAsync(blossom, nginx, rounds, 16)),
                ("slow", () => SlowlorisAsync(blossom)),
            ])
            {
                if (name.StartsWith(only, StringComparison.Ordinal))
                {
                    await measure();
                }
            }

            Console.WriteLine(
                string.Create(CultureInfo.InvariantCulture, $"memory after all of it: blossom {blossom.MemoryMiB:F0} MiB, nginx {nginx.MemoryMiB:F0} MiB"));
        }
        finally
        {
            Directory.Delete(data, recursive: true);
        }

        Console.WriteLine(Missed.Count == 0 ? "holds" : "DOES NOT HOLD: " + string.Join("; ", Missed));
        return Missed.Count == 0 ? 0 : 1;
    }

    private static async Task PutAsync(Server blossom, Server nginx, int rounds, long size, int count, int connections, double sha)
    {
        var (ours, theirs, cpu) = (new double[rounds], new double[rounds], new double[rounds]);
        for (var round = 0; round < rounds; round++)
        {
            var uploads = Upload.Create(size, count);
            var before = blossom.Cpu;
            ours[round] = count / await TimeAsync(blossom, connections, uploads, upload => upload.BlossomHead, 201);
            cpu[round] = (blossom.Cpu - before).TotalMilliseconds / count;
            theirs[round] = count / await TimeAsync(nginx, connections, uploads, upload => upload.NginxHead, 201);
        }

        if (rounds == 1)
        {
            return;
        }

        var speed = Median(ours) * size / 1e6;
        Row($"PUT {SizeText(size)} x {connections}", Median(ours), Median(theirs), "/s", sha > 0 ? 0.7 : null);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"",-34}{speed,9:F0} MB/s, server CPU {Median(cpu):F2} ms each"));
        if (size == KiB)
        {
            // blossom-server is a Deno program and no npm package, so it is not measured here; these are its figures on a machine of this size.
            Console.WriteLine(
                string.Create(CultureInfo.InvariantCulture,
                    $"{"",-34}blossom-server 6.1.4, measured before: 393/s, 2.46 ms of CPU; that is {2.46 / Median(cpu):F0} x ours (at least 7)"));
            Check("PUT 1 KiB: server CPU at most 0.35 ms", Median(cpu) <= 0.35);
        }

        if (sha > 0)
        {
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"",-34}{speed / sha,14:F2} of OpenSSL SHA-256 on one core  at least 0.27"));
            Check("PUT 10 MiB: 0.27 of SHA-256", speed / sha >= 0.27);
        }
    }

    /// <summary>1 GiB once on each side: speed, the answer's delay after the last byte, memory throughout.</summary>
    private static async Task PutHugeAsync(Server blossom, Server nginx)
    {
        var upload = Upload.Create(1024L * MiB);
        var (before, peak) = (blossom.MemoryMiB, 0.0);
        using var done = new CancellationTokenSource();
        var watch = Task.Run(async () =>
        {
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
            while (!done.IsCancellationRequested)
            {
                peak = Math.Max(peak, blossom.MemoryMiB);
                await timer.WaitForNextTickAsync();
            }
        });
        var (ours, wait) = await PutOnceAsync(blossom, upload, upload.BlossomHead);
        await done.CancelAsync();
        await watch;
        var (theirs, _) = await PutOnceAsync(nginx, upload, upload.NginxHead);
        Row("PUT 1 GiB x 1", 1073.7 / ours, 1073.7 / theirs, " MB/s", null);
        Console.WriteLine(
            string.Create(CultureInfo.InvariantCulture,
                $"{"",-34}memory grew {Math.Max(0, peak - before):F0} MiB (under 16), answer {wait:F2} s after the last byte (at most 1)"));
        Check("PUT 1 GiB: memory growth under 16 MiB", peak - before < 16);
        Check("PUT 1 GiB: answer within 1 s of the last byte", wait <= 1);
        Gets[1024L * MiB] = [upload.Path];

        static async Task<(double Seconds, double Wait)> PutOnceAsync(Server server, Upload upload, byte[] head)
        {
            using var connection = await HttpConnection.OpenAsync(server.Port);
            var start = Stopwatch.GetTimestamp();
            await connection.WriteAsync(head);
            for (long i = 1; i < upload.Repeats; i++)
            {
                await connection.WriteAsync(upload.Piece);
            }

            var last = Stopwatch.GetTimestamp();
            await connection.SendAsync(default, upload.Piece);
            return (Stopwatch.GetElapsedTime(start).TotalSeconds, Stopwatch.GetElapsedTime(last).TotalSeconds);
        }
    }

    private static readonly Dictionary<long, string[]> Gets = [];

    private static async Task GetAsync(Server blossom, Server nginx, int rounds, long size, int count, int connections, double? target)
    {
        var paths = await StoreAsync(blossom, nginx, size);
        var requests = Enumerable.Range(0, count).Select(i => Upload.Get(paths[i % paths.Length])).ToArray();
        var (ours, theirs) = (new double[rounds], new double[rounds]);
        await TimeAsync(blossom, connections, requests[..Math.Min(count, 2000)], 200);
        for (var round = 0; round < rounds; round++)
        {
            ours[round] = count / await TimeAsync(blossom, connections, requests, 200);
            theirs[round] = count / await TimeAsync(nginx, connections, requests, 200);
        }

        Row($"GET {SizeText(size)} x {connections}", Median(ours), Median(theirs), "/s", target);
    }

    // The row before it, but every request goes through the HTTP server.
    private static async Task GetPlainAsync(Server plain, Server nginx, int rounds)
    {
        Gets.Remove(KiB); // what is stored stands in the other server
        await GetAsync(plain, nginx, rounds, KiB, 20_000, 32, null);
        Gets.Remove(KiB);
    }

    private static async Task RangeAsync(Server blossom, Server nginx, int rounds, int connections)
    {
        var path = (await StoreAsync(blossom, nginx, 100 * MiB))[0];
        var requests = Enumerable.Range(0, 1500)
            .Select(i => Upload.Get(path, $"Range: bytes={i * 65_536 % (99 * MiB)}-{(i * 65_536 % (99 * MiB)) + 65_535}\r\n")).ToArray();
        var (ours, theirs) = (new double[rounds], new double[rounds]);
        for (var round = 0; round < rounds; round++)
        {
            ours[round] = await P50Async(blossom);
            theirs[round] = await P50Async(nginx);
        }

        Row($"Range 64 KiB of 100 MiB p50 x {connections}", Median(ours), Median(theirs), " ms", 1.2, lowerIsBetter: true);

        async Task<double> P50Async(Server server)
        {
            var times = new ConcurrentBag<double>();
            await TimeAsync(server, connections, requests, 206, times);
            return Median([.. times]);
        }
    }

    /// <summary>2,000 uploads that send a byte now and then; honest ones beside them.</summary>
    private static async Task SlowlorisAsync(Server blossom)
    {
        var quiet = await P99Async(blossom);
        var stuck = new List<HttpConnection>();
        try
        {
            foreach (var upload in Upload.Create(100 * KiB, StuckUploads))
            {
                var connection = await HttpConnection.OpenAsync(blossom.Port);
                stuck.Add(connection);
                await connection.WriteAsync(upload.BlossomHead);
                await connection.WriteAsync(upload.Piece.AsMemory(0, 100));
            }

            Row($"honest PUT 1 KiB p99, {StuckUploads} stuck", await P99Async(blossom), quiet, " ms", 2.0, lowerIsBetter: true);
        }
        finally
        {
            stuck.ForEach(connection => connection.Dispose());
        }

        static async Task<double> P99Async(Server server)
        {
            var times = new ConcurrentBag<double>();
            await TimeAsync(server, 4, Upload.Create(KiB, 2000), upload => upload.BlossomHead, 201, times);
            double[] sorted = [.. times];
            Array.Sort(sorted);
            return sorted[(int)(sorted.Length * 0.99)];
        }
    }

    /// <summary>Blobs of a size on both servers: their paths.</summary>
    private static async Task<string[]> StoreAsync(Server blossom, Server nginx, long size)
    {
        if (!Gets.TryGetValue(size, out var paths))
        {
            var uploads = Upload.Create(size, (int)Math.Clamp(64L * MiB / size, 1, 200));
            await TimeAsync(blossom, 4, uploads, upload => upload.BlossomHead, 201);
            await TimeAsync(nginx, 4, uploads, upload => upload.NginxHead, 201);
            Gets[size] = paths = [.. uploads.Select(upload => upload.Path)];
        }

        return paths;
    }

    private static Task<double> TimeAsync(Server server, int connections, Upload[] uploads, Func<Upload, byte[]> head, int expected,
        ConcurrentBag<double>? times = null) =>
        TimeAsync(server, connections, uploads.Length, (connection, i) => connection.SendAsync(head(uploads[i]), uploads[i].Piece, uploads[i].Repeats),
            expected, times);

    private static Task<double> TimeAsync(Server server, int connections, byte[][] requests, int expected, ConcurrentBag<double>? times = null) =>
        TimeAsync(server, connections, requests.Length, (connection, i) => connection.SendAsync(requests[i]), expected, times);

    /// <summary>Seconds for all of it over so many connections.</summary>
    private static async Task<double> TimeAsync(
        Server server, int connections, int count, Func<HttpConnection, int, ValueTask<int>> send, int expected, ConcurrentBag<double>? times)
    {
        var open = await Task.WhenAll(Enumerable.Range(0, connections).Select(_ => HttpConnection.OpenAsync(server.Port)));
        var next = -1;
        var start = Stopwatch.GetTimestamp();
        await Task.WhenAll(open.Select(connection => Task.Run(async () =>
        {
            for (int i; (i = Interlocked.Increment(ref next)) < count;)
            {
                var began = Stopwatch.GetTimestamp();
                if (await send(connection, i) is var status && status != expected)
                {
                    throw new InvalidOperationException($"answered {status}, expected {expected}");
                }

                times?.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
            }
        })));
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Array.ForEach(open, connection => connection.Dispose());
        return seconds;
    }

    private static double HashSpeed()
    {
        var block = new byte[16 * KiB];
        var best = 0.0;
        for (var round = 0; round < 5; round++)
        {
            var start = Stopwatch.GetTimestamp();
            for (var i = 0; i < 10_000; i++)
            {
                SHA256.HashData(block, new byte[32]); // OpenSSL's libcrypto behind the base library
            }

            best = Math.Max(best, 10_000.0 * block.Length / 1e6 / Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return best;
    }

    private static void Row(string name, double ours, double theirs, string unit, double? target, bool lowerIsBetter = false)
    {
        var ratio = ours / theirs;
        var goal = target is not { } limit ? "" : string.Create(CultureInfo.InvariantCulture, $"{(lowerIsBetter ? "at most" : "at least")} {limit}");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-34}{ours,10:F2}{unit,-5}{theirs,9:F2}{unit,-5}{ratio,7:F2}  {goal}"));
        if (target is { } bar)
        {
            Check($"{name}: {goal}", lowerIsBetter ? ratio <= bar : ratio >= bar);
        }
    }

    private static void Check(string what, bool holds)
    {
        if (!holds)
        {
            Missed.Add(what);
        }
    }

    private static string SizeText(long size) => size >= 1024L * MiB ? "1 GiB" : size >= MiB ? $"{size / MiB} MiB" : $"{size / KiB} KiB";

    private static double Median(double[] values)
    {
        Array.Sort(values);
        return values[values.Length / 2];
    }
}
