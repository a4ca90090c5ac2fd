using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Kit;

/// <summary>The framework's WebSocket client with Nostr's words; every wait ends after ten seconds.</summary>
/// <param name="deflate">Offers permessage-deflate.</param>
/// <param name="socket">With options of the test's own; owned from here on.</param>
/// <param name="steps">The relay's clock when its date steps by hours: it is put right from an AUTH, whose date may be ten minutes off, to its OK.</param>
internal sealed class TestClient(WebSocketDeflateOptions? deflate = null, ClientWebSocket? socket = null, SteppingClock? steps = null) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private readonly ClientWebSocket _socket = socket ?? new ClientWebSocket();
    private readonly byte[] _buffer = new byte[1 << 20];
    private readonly Dictionary<string, IDisposable> _held = []; // by the id of the AUTH

    /// <summary>The last challenge seen (NIP-42); empty while none came.</summary>
    public string Challenge { get; private set; } = "";

    /// <summary>How many challenges were seen.</summary>
    public int Challenges { get; private set; }

    public async Task ConnectAsync(Uri uri)
    {
        _socket.Options.DangerousDeflateOptions = deflate;
        using var cancel = new CancellationTokenSource(Patience);
        await _socket.ConnectAsync(uri, cancel.Token);
    }

    public Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    public async Task SendAsync(byte[] text)
    {
        using var cancel = new CancellationTokenSource(Patience);
        await _socket.SendAsync(text, WebSocketMessageType.Text, true, cancel.Token);
    }

    /// <summary>The next message that is no challenge; challenges are kept in <see cref="Challenge"/>.</summary>
    public async Task<JsonElement> ReceiveAsync()
    {
        while (true)
        {
            var message = await ReceiveAnyAsync();
            if (message[0].GetString() != "AUTH")
            {
                return message;
            }
        }
    }

    /// <summary>The next message, whatever it is.</summary>
    public async Task<JsonElement> ReceiveAnyAsync()
    {
        using var cancel = new CancellationTokenSource(Patience);
        var length = 0;
        ValueWebSocketReceiveResult part;
        do
        {
            part = await _socket.ReceiveAsync(_buffer.AsMemory(length), cancel.Token);
            if (part.MessageType == WebSocketMessageType.Close)
            {
                throw new InvalidOperationException("closed: " + _socket.CloseStatus);
            }

            length += part.Count;
        }
        while (!part.EndOfMessage);
        var message = JsonDocument.Parse(_buffer.AsMemory(0, length).ToArray()).RootElement;
        if (message[0].GetString() == "AUTH")
        {
            Challenge = message[1].GetString()!;
            Challenges++;
        }
        else if (message[0].GetString() == "OK" && _held.Remove(message[1].GetString()!, out var held))
        {
            held.Dispose();
        }

        return message;
    }

    /// <summary>Publishes and returns the OK.</summary>
    public async Task<(bool Accepted, string Text)> PublishAsync(string eventJson)
    {
        await SendAsync($"[\"EVENT\",{eventJson}]");
        return await ReceiveOkAsync();
    }

    public Task<(bool Accepted, string Text)> PublishAsync(NostrEvent evt) => PublishAsync(Encoding.UTF8.GetString(evt.Json.Span));

    /// <summary>Publishes all in bursts; each must be accepted.</summary>
    public async Task PublishAllAsync(IEnumerable<NostrEvent> events)
    {
        foreach (var burst in events.Chunk(200))
        {
            foreach (var evt in burst)
            {
                await SendAsync($"[\"EVENT\",{Encoding.UTF8.GetString(evt.Json.Span)}]");
            }

            for (var i = 0; i < burst.Length; i++)
            {
                var (accepted, text) = await ReceiveOkAsync();
                Assert.True(accepted, text);
            }
        }
    }

    public async Task<(bool Accepted, string Text)> ReceiveOkAsync()
    {
        var ok = await ReceiveAsync();
        Assert.Equal("OK", ok[0].GetString());
        return (ok[2].GetBoolean(), ok[3].GetString()!);
    }

    /// <summary>Gets a challenge, unless one came already, by a request that is ended at once.</summary>
    public async Task<string> ProvokeChallengeAsync()
    {
        if (Challenge.Length == 0)
        {
            await SendAsync("[\"REQ\",\"provoke\",{\"kinds\":[1059]}]");
            Assert.Equal("AUTH", (await ReceiveAnyAsync())[0].GetString());
            await SendAsync("[\"CLOSE\",\"provoke\"]");
        }

        return Challenge;
    }

    public async Task<(bool Accepted, string Text)> AuthenticateAsync(SecretKey key, DateTimeOffset now)
    {
        await ProvokeChallengeAsync();
        await AnswerChallengeAsync(key, now);
        return await ReceiveOkAsync();
    }

    /// <summary>Sends the AUTH for the challenge at hand.</summary>
    public Task AnswerChallengeAsync(SecretKey key, DateTimeOffset now) => SendAuthAsync(RelayAuth.Create(key, RelayHost.Origin, Challenge, now));

    /// <summary>Sends an AUTH; the relay's date stands until it is answered.</summary>
    public async Task SendAuthAsync(NostrEvent auth)
    {
        if (steps is not null)
        {
            _held[auth.Id.ToString()] = steps.Hold();
        }

        await SendAsync($"[\"AUTH\",{Encoding.UTF8.GetString(auth.Json.Span)}]");
    }

    /// <summary>Opens a subscription and returns the stored ids up to EOSE, in order.</summary>
    public async Task<List<string>> QueryAsync(string filters, string id = "q", bool keep = false)
    {
        await SendAsync($"[\"REQ\",\"{id}\",{filters}]");
        var ids = new List<string>();
        while (true)
        {
            var message = await ReceiveAsync();
            switch (message[0].GetString())
            {
                case "EVENT":
                    ids.Add(message[2].GetProperty("id").GetString()!);
                    break;
                case "EOSE":
                    if (!keep)
                    {
                        await SendAsync($"[\"CLOSE\",\"{id}\"]");
                    }

                    return ids;
                default:
                    throw new InvalidOperationException(message.ToString());
            }
        }
    }

    public ValueTask DisposeAsync()
    {
        foreach (var held in _held.Values)
        {
            held.Dispose();
        }

        _socket.Dispose();
        return default;
    }
}
