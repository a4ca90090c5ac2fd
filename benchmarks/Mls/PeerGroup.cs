using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Marmot.Benchmarks.Mls;

/// <summary>ts-mls under Node, doing the same operations (tests/Mls.Tests/Peer/bench.mjs): one process for the whole run, so that its compiler has settled too;
/// one round at a time.</summary>
internal sealed class PeerGroup : IDisposable
{
    private readonly Process _node;

    public PeerGroup()
    {
        var folder = Path.Combine(Directory.GetCurrentDirectory(), "tests", "Mls.Tests", "Peer");
        _node = Process.Start(new ProcessStartInfo("node", ["bench.mjs"])
        {
            WorkingDirectory = folder,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })
            ?? throw new InvalidOperationException("node did not start");
    }

    public void Round(int members, Figures figures)
    {
        _node.StandardInput.WriteLine(members.ToString(CultureInfo.InvariantCulture));
        var line = _node.StandardOutput.ReadLine() ?? throw new InvalidOperationException("bench.mjs ended");
        foreach (var (row, round) in JsonSerializer.Deserialize<Dictionary<string, Figure>>(line, JsonSerializerOptions.Web)!) figures.Add(row, round);
    }

    public void Dispose()
    {
        _node.StandardInput.Close(); // ends it
        _node.WaitForExit();
        _node.Dispose();
    }
}
