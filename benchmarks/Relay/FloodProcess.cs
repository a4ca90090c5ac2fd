using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>A <see cref="Flood"/> in a process of its own that gets the CPU time that relay and honest clients leave, as an attacker elsewhere would not take
/// theirs either.</summary>
/// <remarks>
/// In a scheduler group of the idle class where one can be made: it gives its core at once to whoever wakes up. Else at a low priority, with
/// which a thread that runs keeps its core for a tick; in a session of its own, since Linux shares the cores between sessions first.
/// </remarks>
/// <param name="relay">The relay.</param>
/// <param name="shape">Name of the <see cref="Shape"/>; null for the mixture of <see cref="Flood"/>.</param>
internal sealed class FloodProcess(IPEndPoint relay, string? shape = null) : IFlood, IDisposable
{
    public const string Argument = "flood";

    private const string SessionPriority = "/proc/self/autogroup";
    private static readonly string[] GroupRoots = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"]; // of cgroups 1 and 2
    private Process? _process;

    private static IEnumerable<string> Groups =>
        GroupRoots.Where(root => File.Exists(Path.Combine(root, "cgroup.procs"))).Select(root => Path.Combine(root, "marmot-flood"));

    /// <summary>How the hostile share the cores: "idle class", or "low priority" where no group can be made; null until they run.</summary>
    public string? Rank { get; private set; }

    /// <summary>The body of the process: begins, and ends, with its count, when its input does.</summary>
    public static int Run(IPEndPoint relay, string? shape)
    {
        Console.WriteLine(StandBehind());
        if (shape is null)
        {
            using var flood = new Flood(relay, Flood.Address);
            return Run(flood);
        }

        using var one = Shape.Create(shape, relay, Flood.Address);
        return Run(one);
    }

    public void Start()
    {
        string[] shapes = shape is null ? [] : [shape];
        string[] arguments = ["nice", "-n", "19", "dotnet", typeof(FloodProcess).Assembly.Location, Argument, relay.ToString(), .. shapes];
        _process = Process.Start(new ProcessStartInfo("setsid", arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        Rank = _process.StandardOutput.ReadLine();
        _process.StandardOutput.ReadLine();
    }

    public long Stop()
    {
        _process!.StandardInput.Close();
        var acts = long.Parse(_process.StandardOutput.ReadToEnd(), CultureInfo.InvariantCulture);
        _process.WaitForExit();
        foreach (var group in Groups.Where(Directory.Exists))
        {
            Directory.Delete(group);
        }

        return acts;
    }

    public void Dispose() => _process?.Dispose();

    private static int Run(IFlood flood)
    {
        flood.Start();
        Console.WriteLine("started");
        Console.In.ReadToEnd();
        Console.WriteLine(flood.Stop());
        return 0;
    }

    private static string StandBehind()
    {
        foreach (var group in Groups)
        {
            try
            {
                Directory.CreateDirectory(group);
                File.WriteAllText(Path.Combine(group, "cpu.idle"), "1");
                File.WriteAllText(Path.Combine(group, "cgroup.procs"), Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
                return "idle class";
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // no right to, or a system that is too old
            }
        }

        if (File.Exists(SessionPriority))
        {
            File.WriteAllText(SessionPriority, "10");
        }

        return "low priority";
    }
}
