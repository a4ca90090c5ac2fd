using System.Net;
using System.Text.Json;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>The real <c>marmot-server</c> as a process, started whether or not it will become ready.</summary>
internal static class ServerProgram
{
    private static readonly string Program = Path.Combine(
        MarmotServerProcess.RepositoryRoot,
        "src/AllInOne/bin",
        AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal) ? "Release" : "Debug",
        "net10.0/marmot-server.dll");

    private static readonly JsonSerializerOptions Names = new()
    {
        WriteIndented = true,
        Converters = { new System.Text.Json.Serialization.JsonStringEnumConverter() },
    };

    /// <remarks>A runner started under nohup hands an ignored SIGHUP on to its children; the server is to have it as from a shell.</remarks>
    public static ChildProcess Start(params IEnumerable<string> arguments) => OperatingSystem.IsLinux()
        ? ChildProcess.Start("env", ["--default-signal=HUP", "dotnet", Program, .. arguments])
        : ChildProcess.Start("dotnet", [Program, .. arguments]);

    /// <summary>A settings file for the notify role.</summary>
    public static string WriteSettings(string folder, NotifyOptions options)
    {
        var path = Path.Combine(folder, "settings.json");
        File.WriteAllText(path, JsonSerializer.Serialize(new { Notify = options }, Names));
        return path;
    }

    /// <summary>Starts the notify role on free ports and waits until its admin port answers.</summary>
    public static async Task<(ChildProcess Process, HttpClient Admin)> StartNotifyAsync(string folder, NotifyOptions options, params IEnumerable<string> more)
    {
        var ports = FreePort.Take(2);
        var process = Start([
            "notify",
            $"--config={WriteSettings(folder, options)}",
            $"--Public:Urls=http://127.0.0.1:{ports[0]}",
            $"--Admin:Urls=http://127.0.0.1:{ports[1]}",
            $"--Storage:DataDirectory={folder}",
            .. more,
        ]);
        var admin = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{ports[1]}/") };
        await PollAsync(process, async () =>
        {
            try
            {
                using var answer = await admin.GetAsync(new Uri("healthz", UriKind.Relative));
                return answer.StatusCode == HttpStatusCode.OK;
            }
            catch (HttpRequestException)
            {
                return false;
            }
        });
        return (process, admin);
    }

    /// <summary>Asks again and again until it is so, or the process has ended.</summary>
    public static async Task PollAsync(ChildProcess process, Func<Task<bool>> condition)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (!await condition())
        {
            Assert.False(process.HasExited, "the server ended:\n" + process.Output);
            try
            {
                await timer.WaitForNextTickAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                Assert.Fail("it does not come about; the server wrote:\n" + process.Output);
            }
        }
    }

    public static Task WritesAsync(this ChildProcess process, string text) =>
        PollAsync(process, () => Task.FromResult(process.Output.Contains(text, StringComparison.Ordinal)));
}
