using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Marmot.Benchmarks.RelayLoad;
using Marmot.TestKit;

namespace Marmot.Benchmarks.Scale;

/// <summary>How large the image is, and how soon after <c>docker run</c> a WebSocket opens; beside the same program without a container.</summary>
internal static class ImageRound
{
    private const int Starts = 5;

    public static void Run()
    {
        var image = Environment.GetEnvironmentVariable("MARMOT_IMAGE") ?? "marmot-server:local";
        ScaleBenchmark.Title($"start, from the command to an open WebSocket, median of {Starts}");
        var bare = Median(() =>
        {
            using var relay = new OwnRelay();
            return relay.Start();
        });
        ScaleBenchmark.Row("relay, a process", bare, "ms");
        if (Docker(out _, "image", "inspect", image) != 0 || ImageSizes.Of(image) is not { } sizes)
        {
            Console.WriteLine($"  the image is not measured: no Docker here, or no image {image} (docker build -t {image} .)");
            return;
        }

        ScaleBenchmark.Row("all roles, a container", Median(() => StartContainer(image)), "ms", bare, "a process");
        ScaleBenchmark.Title($"image {image}");
        ScaleBenchmark.Row("unpacked", sizes.Unpacked / 1e6, "MB", more: Own(sizes.OwnUnpacked));
        ScaleBenchmark.Row("as a registry sends it, each layer by gzip", sizes.Sent / 1e6, "MB", more: Own(sizes.OwnSent));
    }

    private static string Own(long bytes) => string.Create(CultureInfo.InvariantCulture, $"of it above the base {bytes / 1e6:N1}");

    private static TimeSpan StartContainer(string image)
    {
        var endPoint = new IPEndPoint(IPAddress.Loopback, FreePort.Take(1)[0]);
        var started = Stopwatch.GetTimestamp();
        if (Docker(out var id, "run", "-d", "--rm", "-p", $"{endPoint}:8080", image) != 0)
        {
            throw new InvalidOperationException("the container did not start");
        }

        try
        {
            while (true)
            {
                try
                {
                    using var connection = new WireConnection(endPoint);
                    return Stopwatch.GetElapsedTime(started);
                }
                catch (Exception exception) when (exception is SocketException or IOException && Stopwatch.GetElapsedTime(started).TotalSeconds < 60)
                {
                    Thread.Sleep(5);
                }
            }
        }
        finally
        {
            Docker(out _, "kill", id);
        }
    }

    private static double Median(Func<TimeSpan> start) => Enumerable.Range(0, Starts).Select(_ => start().TotalMilliseconds).Order().ElementAt(Starts / 2);

    private static int Docker(out string output, params string[] arguments)
    {
        output = "";
        try
        {
            using var process = Process.Start(new ProcessStartInfo("docker", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            output = process.StandardOutput.ReadToEnd().Trim();
            process.WaitForExit();
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1; // no such program
        }
    }
}
