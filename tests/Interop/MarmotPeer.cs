using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Nodes;
using Marmot.TestKit;

namespace Marmot.Interop;

/// <summary>A Node process that is one Marmot member on ts-mls and nostr-tools (marmot/peer.mjs); it talks to the relay by itself.</summary>
internal sealed class MarmotPeer : IAsyncDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);

    private readonly Process _node;

    private MarmotPeer(Process node) => _node = node;

    public string Key { get; private set; } = string.Empty;

    public static async Task<MarmotPeer> StartAsync(Uri relay)
    {
        string folder = Path.Combine(MarmotServerProcess.RepositoryRoot, "tests", "Interop", "marmot");
        Assert.True(Directory.Exists(Path.Combine(folder, "node_modules")), "ts-mls is not installed: run 'npm ci' in tests/Interop/marmot, or ./test");
        var peer = new MarmotPeer(
            Process.Start(new ProcessStartInfo("node", "peer.mjs")
            {
                WorkingDirectory = folder,
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            })!);
        peer.Key = (await peer.AskAsync("init", new { url = relay.ToString() }))["pubkey"]!.GetValue<string>();
        await peer.AskAsync("publishKeyPackage");
        return peer;
    }

    /// <summary>One request, one reply; a refusal fails the test with the peer's words.</summary>
    public async Task<JsonObject> AskAsync(string operation, object? arguments = null)
    {
        var request = arguments is null ? [] : JsonSerializer.SerializeToNode(arguments)!.AsObject();
        request["op"] = operation;
        await _node.StandardInput.WriteLineAsync(request.ToJsonString());
        await _node.StandardInput.FlushAsync();
        string line = await _node.StandardOutput.ReadLineAsync().WaitAsync(Timeout) ?? throw new InvalidOperationException("the peer ended");
        var reply = JsonNode.Parse(line)!.AsObject();
        return reply["error"] is { } error ? throw new InvalidOperationException($"{operation}: {error}") : reply;
    }

    public async ValueTask DisposeAsync()
    {
        _node.StandardInput.Close();
        try
        {
            await _node.WaitForExitAsync(new CancellationTokenSource(Timeout).Token);
        }
        catch (OperationCanceledException)
        {
            _node.Kill();
        }

        _node.Dispose();
    }
}
