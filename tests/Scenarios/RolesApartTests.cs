using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class RolesApartTests : IDisposable
{
    private static readonly string[] Names = ["--Public:Origin=wss://relay.example.org", "--Public:InnerNames=marmot-relay;127.0.0.1"];
    private readonly TemporaryFolder _relayData = new();
    private readonly TemporaryFolder _notifyData = new();

    public void Dispose()
    {
        _relayData.Dispose();
        _notifyData.Dispose();
    }

    [Fact]
    public async Task A_push_server_of_its_own_authenticates_by_the_relays_inner_name_and_announces_the_public_one()
    {
        await using var relay = await MarmotServerProcess.StartAsync("relay", _relayData.Path, Names);
        await using var notify = await MarmotServerProcess.StartAsync("notify", _notifyData.Path, $"--Notify:Relays:0={relay.RelayUrl}",
            "--Notify:AnnounceRelays:0=wss://relay.example.org");
        string list = await RelayQuestions.AwaitEventAsync(relay.RelayUrl, "[\"REQ\",\"q\",{\"kinds\":[10050]}]");
        Assert.Contains("[\"relay\",\"wss://relay.example.org\"]", list, StringComparison.Ordinal);
        Assert.Equal(0, await notify.StopAsync());
        Assert.Equal(0, await relay.StopAsync());
    }

    [Fact]
    public async Task Who_comes_by_an_inner_name_authenticates_for_it_and_who_comes_by_another_only_for_the_origin()
    {
        await using var relay = await MarmotServerProcess.StartAsync("relay", _relayData.Path, Names);
        int port = relay.RelayUrl.Port;
        Assert.True(await AuthenticateAsync(relay, $"127.0.0.1:{port}", $"ws://127.0.0.1:{port}/"));
        Assert.False(await AuthenticateAsync(relay, $"127.0.0.1:{port}", "wss://other.example.org/"));
        Assert.True(await AuthenticateAsync(relay, "relay.example.org", "wss://relay.example.org/"));
        Assert.False(await AuthenticateAsync(relay, "relay.example.org", $"ws://127.0.0.1:{port}/"));
        Assert.False(await AuthenticateAsync(relay, "other.example.org", "wss://other.example.org/"));
    }

    /// <summary>NIP-42 with one Host header and one name in the signed event; the verdict of its OK.</summary>
    private static async Task<bool> AuthenticateAsync(MarmotServerProcess relay, string host, string named)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        using var socket = new ClientWebSocket();
        socket.Options.SetRequestHeader("Host", host);
        await socket.ConnectAsync(relay.RelayUrl, limit.Token);
        await socket.SendAsync("[\"REQ\",\"inbox\",{\"kinds\":[1059]}]"u8.ToArray(), WebSocketMessageType.Text, endOfMessage: true, limit.Token);
        string challenge = (await ReceiveAsync(socket, limit.Token))[1].GetString()!;
        using var key = SecretKey.Generate();
        var answer = NostrEvent.Create(key, 22242, [["relay", named], ["challenge", challenge]], "", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        await socket.SendAsync(Encoding.UTF8.GetBytes("[\"AUTH\"," + Encoding.UTF8.GetString(answer.Json.Span) + "]"), WebSocketMessageType.Text,
            endOfMessage: true, limit.Token);
        var verdict = await ReceiveAsync(socket, limit.Token);
        Assert.Equal("OK", verdict[0].GetString());
        return verdict[2].GetBoolean();
    }

    private static async Task<JsonElement> ReceiveAsync(ClientWebSocket socket, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[16 * 1024];
        var received = await socket.ReceiveAsync(buffer, cancellationToken);
        return JsonSerializer.Deserialize<JsonElement>(buffer.AsSpan(0, received.Count));
    }
}
