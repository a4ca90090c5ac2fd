using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>A <see cref="Flood"/> in a process of its own at a low priority: it gets the CPU time that relay and honest clients leave, as an attacker elsewhere would not take theirs either.</summary>
/// <remarks>In a session of its own too: Linux shares the cores between sessions first, and <c>nice</c> holds only within one.</remarks>
internal sealed class FloodProcess(IPEndPoint relay) : IFlood, IDisposable
{
    public const string Argument = "flood";

    private Process? _process;

    public void Start()
    {
        _process = Process.Start(new ProcessStartInfo("setsid", ["nice", "-n", "19", "dotnet", typeof(FloodProcess).Assembly.Location, Argument, relay.ToString()])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        _process.StandardOutput.ReadLine();
    }

    public long Stop()
    {
        _process!.StandardInput.Close();
        return long.Parse(_process.StandardOutput.ReadToEnd(), CultureInfo.InvariantCulture);
    }

    public void Dispose() => _process?.Dispose();
}
