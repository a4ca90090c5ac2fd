using Marmot.TestKit;

namespace Marmot.Interop;

/// <summary>Runs one of the scripts in <c>clients/</c>, which end with 0 when all their assertions held.</summary>
internal static class NodeClient
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(90);
    private static readonly string Folder = Path.Combine(MarmotServerProcess.RepositoryRoot, "tests", "Interop");

    internal static async Task RunAsync(string script, MarmotServerProcess suite, params (string Name, string Value)[] arguments)
    {
        Assert.True(Directory.Exists(Path.Combine(Folder, "node_modules")), "the npm clients are not installed: run 'npm ci' in tests/Interop, or ./test");
        var environment = new Dictionary<string, string>
        {
            ["RELAY_URL"] = suite.RelayUrl.ToString(),
            ["BLOSSOM_URL"] = suite.HttpUrl.ToString(),
            ["SERVER_NPUB"] = suite.NotifyKey,
        };
        foreach (var (name, value) in arguments)
        {
            environment[name] = value;
        }

        await using var node = ChildProcess.Start("node", [Path.Combine("clients", script)], Folder, environment);
        int exitCode = await node.WaitForExitAsync(Timeout);
        Assert.True(exitCode == 0, $"clients/{script} ended with {exitCode}:\n{node.Output}\nthe suite wrote:\n{suite.Output}");
    }
}
