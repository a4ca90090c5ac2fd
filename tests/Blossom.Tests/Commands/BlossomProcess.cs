using System.Diagnostics;

namespace Marmot.Blossom.Tests.Commands;

/// <summary>The program as a process of its own, to be killed without warning.</summary>
internal sealed class BlossomProcess : IDisposable
{
    private readonly Process _process;

    private BlossomProcess(Process process, Uri address) => (_process, Address) = (process, address);

    public Uri Address { get; }

    /// <summary>With its data in the folder.</summary>
    public static Task<BlossomProcess> StartAsync(string folder) => StartAsync(folder, program: "dotnet");

    /// <summary>With its data on a volume of so many bytes, mounted on the folder for this process alone: gone with it, and no right of root is
    /// needed.</summary>
    public static Task<BlossomProcess> StartOnSmallVolumeAsync(string folder, long bytes) => StartAsync(
        folder, "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs -o size=$1 tmpfs \"$2\" && shift 2 && exec \"$@\"", "sh",
        $"{bytes}", folder, "dotnet");

    private static async Task<BlossomProcess> StartAsync(string folder, string program, params string[] before)
    {
        var address = new Uri($"http://127.0.0.1:{FreePort()}");
        var process = Launch(
            program, [
                .. before, Library, $"--Public:Urls={address}", "--Admin:Urls=", $"--Storage:DataDirectory={folder}", "--Blossom:MinFreeBytes=0",
                "--Log:Level=Fatal"
            ]);
        _ = process.StandardOutput.ReadToEndAsync(); // keeps the pipes empty
        _ = process.StandardError.ReadToEndAsync();
        using var http = new HttpClient { BaseAddress = address };
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync("/.well-known/blossom.json", patience.Token);
                return new BlossomProcess(process, address);
            }
            catch (HttpRequestException) when (!process.HasExited)
            {
                await Task.Delay(20, patience.Token); // another process starts: there is nothing to await but its port
            }
        }
    }

    private static int FreePort()
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }

    public static async Task<(int ExitCode, string Output)> RunAsync(params string[] args)
    {
        using var process = Launch("dotnet", [Library, .. args]);
        var errors = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output + await errors);
    }

    /// <summary>SIGKILL.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    private static string Library => Path.Combine(AppContext.BaseDirectory, "Marmot.Blossom.dll");

    private static Process Launch(string program, string[] args) =>
        Process.Start(new ProcessStartInfo(program, args) { RedirectStandardOutput = true, RedirectStandardError = true })!;
}
