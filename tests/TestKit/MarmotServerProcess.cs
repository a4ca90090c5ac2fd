using System.Net;
using System.Text.RegularExpressions;

namespace Marmot.TestKit;

/// <summary>
/// The real <c>marmot-server</c> on free loopback ports with its data in the folder given, as the build left it in src/AllInOne.
/// The test project must reference AllInOne, so that it is built first.
/// </summary>
public sealed partial class MarmotServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(50);

    private readonly ChildProcess _process;

    private MarmotServerProcess(ChildProcess process, int publicPort, int adminPort)
    {
        _process = process;
        HttpUrl = new Uri($"http://127.0.0.1:{publicPort}/");
        RelayUrl = new Uri($"ws://127.0.0.1:{publicPort}/");
        AdminUrl = new Uri($"http://127.0.0.1:{adminPort}/");
    }

    public Uri HttpUrl { get; }

    public Uri RelayUrl { get; }

    public Uri AdminUrl { get; }

    /// <summary>All it wrote so far.</summary>
    public string Output => _process.Output;

    /// <summary>The npub of the (first) notification server, from the start card.</summary>
    public string NotifyKey =>
        NpubPattern().Match(Output) is { Success: true } match
            ? match.Value
            : throw new InvalidOperationException($"the start card names no push server:\n{Output}");

    /// <summary>The folder that holds marmot-server.sln, found from the test's own output folder.</summary>
    public static string RepositoryRoot { get; } = FindRoot();

    /// <summary>Starts the role with settings such as <c>--Blossom:Profile=General</c> and waits until it says that it can do its work.</summary>
    public static async Task<MarmotServerProcess> StartAsync(string role, string dataDirectory, params IEnumerable<string> settings)
    {
        int[] ports = FreePort.Take(2);
        string configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
            ? "Release"
            : "Debug";
        string[] arguments =
        [
            Path.Combine(RepositoryRoot, "src", "AllInOne", "bin", configuration, "net10.0", "marmot-server.dll"),
            role,
            $"--Public:Urls=http://127.0.0.1:{ports[0]}",
            $"--Admin:Urls=http://127.0.0.1:{ports[1]}",
            $"--Storage:DataDirectory={dataDirectory}",
            .. settings,
        ];
        var server = new MarmotServerProcess(ChildProcess.Start("dotnet", arguments), ports[0], ports[1]);
        try
        {
            await server.WaitUntilReadyAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>SIGTERM; the exit code, which is 0 when it drained in time.</summary>
    public async Task<int> StopAsync()
    {
        _process.Terminate();
        return await _process.WaitForExitAsync(StopTimeout);
    }

    public ValueTask DisposeAsync() => _process.DisposeAsync();

    private async Task WaitUntilReadyAsync()
    {
        using var client = new HttpClient { BaseAddress = AdminUrl };
        using var deadline = new CancellationTokenSource(StartTimeout);
        using var timer = new PeriodicTimer(PollInterval);
        string answer = "none";
        try
        {
            while (await timer.WaitForNextTickAsync(deadline.Token))
            {
                if (_process.HasExited)
                {
                    int exitCode = await _process.WaitForExitAsync(StopTimeout);
                    throw new InvalidOperationException($"marmot-server ended with {exitCode}:\n{Output}");
                }

                try
                {
                    using var response = await client.GetAsync(new Uri("readyz", UriKind.Relative), deadline.Token);
                    answer = await response.Content.ReadAsStringAsync(deadline.Token);
                    if (response.StatusCode == HttpStatusCode.OK)
                    {
                        // The card comes after all that the parts say while they get ready.
                        await _process.WaitForOutputAsync("marmot-server is up", StartTimeout);
                        return;
                    }
                }
                catch (HttpRequestException)
                {
                    // Not listening yet.
                }
            }
        }
        catch (OperationCanceledException)
        {
            throw new TimeoutException($"marmot-server was not ready within {StartTimeout}; last answer of /readyz: {answer}\n{Output}");
        }
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "marmot-server.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException("no marmot-server.sln above " + AppContext.BaseDirectory);
    }

    [GeneratedRegex("npub1[0-9a-z]{58}")]
    private static partial Regex NpubPattern();
}
