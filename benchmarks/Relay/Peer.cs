using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>A relay process under test with its own data directory.</summary>
internal abstract class Peer : IDisposable
{
    private Process? _process;

    protected Peer(string name)
    {
        Name = name;
        Directory = System.IO.Directory.CreateTempSubdirectory("marmot-bench-").FullName;
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        EndPoint = (IPEndPoint)probe.LocalEndpoint;
    }

    public string Name { get; }

    public string Directory { get; }

    public IPEndPoint EndPoint { get; }

    /// <summary>Resident memory in bytes.</summary>
    public long ResidentBytes
    {
        get
        {
            _process!.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>CPU time used so far.</summary>
    public TimeSpan Cpu
    {
        get
        {
            _process!.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    public bool IsAlive => _process is { HasExited: false };

    /// <summary>Starts it and waits until a WebSocket opens; how long that took.</summary>
    public TimeSpan Start()
    {
        var started = Stopwatch.GetTimestamp();
        _process = StartProcess();
        while (true)
        {
            try
            {
                using var connection = new WireConnection(EndPoint);
                return Stopwatch.GetElapsedTime(started);
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                if (_process.HasExited)
                {
                    throw new InvalidOperationException($"{Name} ended with {_process.ExitCode}");
                }

                Thread.Sleep(5);
            }
        }
    }

    public void Stop()
    {
        if (_process is { HasExited: false } process)
        {
            using var kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]);
            if (!process.WaitForExit(30_000))
            {
                process.Kill();
                process.WaitForExit();
            }
        }

        _process?.Dispose();
        _process = null;
    }

    /// <summary>Ends it without a word, as a crash does.</summary>
    public void Kill()
    {
        _process!.Kill();
        _process.WaitForExit();
        _process.Dispose();
        _process = null;
    }

    /// <summary>Imports JSON lines with the peer's own command; null when it has none.</summary>
    public abstract TimeSpan? Import(string file);

    public void Dispose()
    {
        Stop();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    protected abstract Process StartProcess();
}

/// <summary>The relay of this repository, as the build left it beside this program.</summary>
internal sealed class OwnRelay() : Peer("marmot")
{
    private static readonly string Program = Path.Combine(AppContext.BaseDirectory, "Marmot.Relay.dll");

    public override TimeSpan? Import(string file)
    {
        var started = Stopwatch.GetTimestamp();
        using var process = Process.Start(new ProcessStartInfo("dotnet", [Program, "import", file, $"--Storage:DataDirectory={Directory}"])
        {
            RedirectStandardError = true,
        })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? Stopwatch.GetElapsedTime(started) : throw new InvalidOperationException("the import failed");
    }

    protected override Process StartProcess() => Process.Start("dotnet", [
        Program, $"--Public:Urls=http://{EndPoint}", "--Admin:Urls=", "--Log:Level=Error", $"--Storage:DataDirectory={Directory}",
        .. HasDefaultLimits ? (string[])[] : ["--Relay:MaxConnections=100000", "--Relay:WorkPerTarget=0"], .. ExtraSettings]);

    public string[] ExtraSettings { get; init; } = [];

    /// <summary>Whether its limits are those that an operator gets; else those are lifted that one machine which is all clients would meet.</summary>
    public bool HasDefaultLimits { get; init; }
}

/// <summary>strfry from PATH with its default limits.</summary>
internal sealed class Strfry(string program) : Peer("strfry")
{
    public static Strfry? Find()
    {
        var folder = Environment.GetEnvironmentVariable("PATH")!.Split(':').FirstOrDefault(f => File.Exists(Path.Combine(f, "strfry")));
        return folder is null ? null : new Strfry(Path.Combine(folder, "strfry"));
    }

    public override TimeSpan? Import(string file)
    {
        var started = Stopwatch.GetTimestamp();
        using var process = Process.Start(new ProcessStartInfo("sh", ["-c", $"'{program}' --config='{WriteConfiguration()}' import < '{file}' 2>/dev/null"]))!;
        process.WaitForExit();
        return process.ExitCode == 0 ? Stopwatch.GetElapsedTime(started) : null;
    }

    // Its log goes nowhere: into a pipe that nobody reads it would stop with the pipe full.
    protected override Process StartProcess() =>
        Process.Start("sh", ["-c", "exec \"$0\" \"$@\" >/dev/null 2>&1", program, $"--config={WriteConfiguration()}", "relay"]);

    private string WriteConfiguration()
    {
        var file = Path.Combine(Directory, "strfry.conf");
        File.WriteAllText(file,
            $"db = \"{Directory}/\"\nrelay {{\n  bind = \"127.0.0.1\"\n  port = {EndPoint.Port}\n  nofiles = 0\n  auth {{\n    enabled = true\n    serviceUrl "
                + $"= \"ws://{EndPoint}/\"\n  }}\n}}\n");
        return file;
    }
}
