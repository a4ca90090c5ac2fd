using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Marmot.Benchmarks.Mls;

/// <summary>ts-mls under Node, doing the same operations (tests/Mls.Tests/Peer/bench.mjs).</summary>
internal static class PeerGroup
{
    public static Dictionary<string, Figure> Measure(int members, int rounds)
    {
        var folder = Path.Combine(Directory.GetCurrentDirectory(), "tests", "Mls.Tests", "Peer");
        string[] arguments = ["bench.mjs", members.ToString(CultureInfo.InvariantCulture), rounds.ToString(CultureInfo.InvariantCulture)];
        using var node = Process.Start(new ProcessStartInfo("node", arguments) { WorkingDirectory = folder, RedirectStandardOutput = true })
            ?? throw new InvalidOperationException("node did not start");
        var output = node.StandardOutput.ReadToEnd();
        node.WaitForExit();
        return node.ExitCode == 0 ? JsonSerializer.Deserialize<Dictionary<string, Figure>>(output, JsonSerializerOptions.Web)! : throw new InvalidOperationException($"bench.mjs ended with {node.ExitCode}");
    }
}
