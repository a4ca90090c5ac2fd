using System.Collections.Concurrent;
using System.Net.WebSockets;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Messages;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Marmot.TestKit.Servers;

/// <summary>When a relay sends its challenge (NIP-42).</summary>
public enum ChallengeManner
{
    /// <summary>It never does, and serves everybody.</summary>
    Never,

    /// <summary>When a client connects; a request that comes before the answer is refused.</summary>
    OnConnect,

    /// <summary>After the refusal, as strfry does.</summary>
    WithRefusal,

    /// <summary>When a request needs it, which then waits for the answer, as ours does.</summary>
    WhenNeeded,
}

/// <summary>A relay that does what a test tells it, on a loopback port.</summary>
public sealed class TestRelay : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly ConcurrentDictionary<Guid, Client> _clients = new();
    private readonly Lock _gate = new();
    private readonly List<(Func<bool> Condition, TaskCompletionSource Done)> _waiting = [];
    private int _reqs;
    private int _live;
    private int _auths;
    private int _connections;

    private TestRelay(WebApplication app) => _app = app;

    /// <summary>Whether and when it wants clients to authenticate.</summary>
    public ChallengeManner Challenges { get; init; }

    public bool SendsEose { get; init; } = true;

    /// <summary>OK false to every AUTH.</summary>
    public bool RefusesAuth { get; set; }

    /// <summary>Never a word on an AUTH.</summary>
    public bool IgnoresAuth { get; set; }

    /// <summary>Takes events and passes none on: connected, and deaf for all who listen.</summary>
    public bool IsDeaf { get; set; }

    /// <summary>OK false to every gift wrap, with this reason.</summary>
    public string? RefusesWraps { get; set; }

    /// <summary>OK false to every inbox list, with this reason.</summary>
    public string? RefusesLists { get; set; }

    /// <summary>CLOSED to every question but the standing one, with this reason.</summary>
    public string? RefusesQueries { get; set; }

    /// <summary>The NIP-11 document; null: 404.</summary>
    public string? Information { get; set; }

    /// <summary>The first filter of the last REQ for wraps.</summary>
    public string LastFilter { get; private set; } = "";

    /// <summary>The answers to the first REQs; then EOSE.</summary>
    public ConcurrentQueue<string> CloseReasons { get; } = new();

    /// <summary>Answers every REQ but those for wraps, by its number from 1 on; null: the last inbox list.</summary>
    public Func<int, IReadOnlyList<NostrEvent>>? Answers { get; set; }

    /// <summary>The third element of the EOSE behind <see cref="Answers"/>, JSON (NIP-67); empty for none.</summary>
    public string Hint { get; set; } = "";

    /// <summary>Sent before EOSE whatever the filter's limit says.</summary>
    public List<NostrEvent> Backlog { get; } = [];

    public ConcurrentQueue<NostrEvent> Published { get; } = new();

    /// <summary>The ids of all REQs for wraps.</summary>
    public ConcurrentQueue<string> Subscriptions { get; } = new();

    public string Url => _app.Urls.First().Replace("http://", "ws://", StringComparison.Ordinal) + "/";

    public int Reqs => Volatile.Read(ref _reqs);

    public int Auths => Volatile.Read(ref _auths);

    public int Connections => Volatile.Read(ref _connections);

    public static async Task<TestRelay> StartAsync(ChallengeManner challenges = ChallengeManner.Never, bool sendsEose = true)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        var app = builder.Build();
        var relay = new TestRelay(app) { Challenges = challenges, SendsEose = sendsEose };
        app.UseWebSockets();
        app.Run(relay.ServeAsync);
        await app.StartAsync();
        return relay;
    }

    /// <summary>Waits until so many subscriptions have had their EOSE (or, without EOSE, their REQ).</summary>
    public Task SubscribedAsync(int count = 1) => UntilAsync(() => Volatile.Read(ref _live) >= count);

    public Task RequestedAsync(int count) => UntilAsync(() => Reqs >= count);

    public Task ConnectedAsync(int count) => UntilAsync(() => Connections >= count);

    public Task PublishedAsync(int count) => UntilAsync(() => Published.Count >= count);

    /// <summary>Sends an event to every open subscription of kind 1059, whatever its filter.</summary>
    public async Task SendAsync(NostrEvent evt)
    {
        foreach (var client in _clients.Values)
        {
            foreach (var id in client.Subscriptions.Keys)
            {
                await client.SendAsync($"""["EVENT","{id}",{System.Text.Encoding.UTF8.GetString(evt.Json.Span)}]""");
            }
        }
    }

    public async Task SendRawAsync(string text)
    {
        foreach (var client in _clients.Values)
        {
            await client.SendAsync(text);
        }
    }

    /// <summary>A text frame of these bytes, whatever they are.</summary>
    public async Task SendBytesAsync(byte[] bytes)
    {
        foreach (var client in _clients.Values)
        {
            await client.SendAsync(bytes);
        }
    }

    /// <summary>Another challenge in the middle of the session; the old one is void.</summary>
    public async Task ChallengeAgainAsync()
    {
        foreach (var client in _clients.Values)
        {
            client.Challenge = Guid.NewGuid().ToString();
            client.IsAuthenticated = false;
            await client.SendAsync($"""["AUTH","{client.Challenge}"]""");
        }
    }

    public Task AuthenticatedAsync(int count) => UntilAsync(() => Auths >= count);

    /// <summary>Ends every subscription from the relay's side.</summary>
    public async Task CloseAsync(string reason)
    {
        foreach (var client in _clients.Values)
        {
            foreach (var id in client.Subscriptions.Keys)
            {
                client.Subscriptions.TryRemove(id, out _);
                await client.SendAsync($"""["CLOSED","{id}","{reason}"]""");
            }
        }
    }

    /// <summary>Breaks every connection.</summary>
    public void Drop()
    {
        foreach (var client in _clients.Values)
        {
            client.Socket.Abort();
        }
    }

    public async ValueTask DisposeAsync()
    {
        Drop();
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }

    private async Task UntilAsync(Func<bool> condition)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            _waiting.Add((condition, done));
        }

        Changed();
        await done.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    private void Changed()
    {
        lock (_gate)
        {
            _waiting.RemoveAll(entry => entry.Condition() && entry.Done.TrySetResult());
        }
    }

    private async Task ServeAsync(HttpContext context)
    {
        if (!context.WebSockets.IsWebSocketRequest)
        {
            context.Response.StatusCode = Information is null ? 404 : 200;
            await context.Response.WriteAsync(Information ?? "");
            return;
        }

        using var socket = await context.WebSockets.AcceptWebSocketAsync();
        var client = new Client(socket);
        _clients[client.Id] = client;
        Interlocked.Increment(ref _connections);
        Changed();
        try
        {
            if (Challenges == ChallengeManner.OnConnect)
            {
                await client.SendAsync($"""["AUTH","{client.Challenge}"]""");
            }

            var buffer = new byte[512 * 1024];
            while (true)
            {
                var length = 0;
                ValueWebSocketReceiveResult result;
                do
                {
                    result = await socket.ReceiveAsync(buffer.AsMemory(length), CancellationToken.None);
                    length += result.Count;
                }
                while (!result.EndOfMessage);
                if (result.MessageType != WebSocketMessageType.Text)
                {
                    return;
                }

                await HandleAsync(client, buffer.AsMemory(0, length));
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
        {
            // The test or the client broke it.
        }
        finally
        {
            _clients.TryRemove(client.Id, out _);
        }
    }

    private async Task HandleAsync(Client client, ReadOnlyMemory<byte> frame)
    {
        using var json = System.Text.Json.JsonDocument.Parse(frame);
        var root = json.RootElement;
        switch (root[0].GetString())
        {
            case "REQ":
                await RequestAsync(client, root);
                break;
            case "CLOSE":
                client.Subscriptions.TryRemove(root[1].GetString()!, out _);
                break;
            case "AUTH":
                var auth = Parse(root[1]);
                Interlocked.Increment(ref _auths);
                if (IgnoresAuth)
                {
                    Changed();
                    break;
                }

                client.IsAuthenticated = !RefusesAuth && auth.Kind == 22242 && auth.TryVerify(out _) && auth.TagValue("challenge") == client.Challenge
                    && auth.TagValue("relay") is not null;
                await client.SendAsync($"""["OK","{auth.Id}",{(client.IsAuthenticated ? "true" : "false")},""]""");
                while (client.Waiting.TryDequeue(out var waiting))
                {
                    await (client.IsAuthenticated ? ServeAsync(client, waiting) : RefuseAsync(client, waiting));
                }

                Changed();
                break;
            case "EVENT":
                var evt = Parse(root[1]);
                if ((evt.Kind == 1059 ? RefusesWraps : evt.Kind == 10050 ? RefusesLists : null) is { } refusal)
                {
                    await client.SendAsync($"""["OK","{evt.Id}",false,"{refusal}"]""");
                    break;
                }

                Published.Enqueue(evt);
                await client.SendAsync($"""["OK","{evt.Id}",true,""]""");
                if (evt.Kind == 1059 && !IsDeaf)
                {
                    await SendAsync(evt);
                }

                Changed();
                break;
        }
    }

    private async Task RequestAsync(Client client, System.Text.Json.JsonElement root)
    {
        var id = root[1].GetString()!;
        var isInbox = root[2].GetProperty("kinds")[0].GetInt32() is 1059;
        if (!isInbox)
        {
            if (RefusesQueries is { } refusal)
            {
                await client.SendAsync($"""["CLOSED","{id}","{refusal}"]""");
                return;
            }

            if (Answers is { } answers)
            {
                foreach (var evt in answers(Interlocked.Increment(ref _reqs)))
                {
                    await client.SendAsync($"""["EVENT","{id}",{System.Text.Encoding.UTF8.GetString(evt.Json.Span)}]""");
                }

                await client.SendAsync(Hint.Length == 0 ? $"""["EOSE","{id}"]""" : $"""["EOSE","{id}",{Hint}]""");
                return;
            }

            var stored = Published.LastOrDefault(evt => evt.Kind == 10050 && root[2].GetProperty("authors")[0].GetString() == evt.PublicKey.ToString());
            if (stored is not null)
            {
                await client.SendAsync($"""["EVENT","{id}",{System.Text.Encoding.UTF8.GetString(stored.Json.Span)}]""");
            }

            await client.SendAsync($"""["EOSE","{id}"]""");
            return;
        }

        Interlocked.Increment(ref _reqs);
        LastFilter = root[2].GetRawText();
        Subscriptions.Enqueue(id);
        if (Challenges == ChallengeManner.WhenNeeded && !client.IsAuthenticated)
        {
            client.Waiting.Enqueue(id);
            await client.SendAsync($"""["AUTH","{client.Challenge}"]""");
        }
        else if (Challenges != ChallengeManner.Never && !client.IsAuthenticated)
        {
            await RefuseAsync(client, id);
        }
        else
        {
            await ServeAsync(client, id);
        }

        Changed();
    }

    private async Task RefuseAsync(Client client, string id)
    {
        await client.SendAsync($"""["CLOSED","{id}","auth-required: who are you"]""");
        if (Challenges == ChallengeManner.WithRefusal)
        {
            await client.SendAsync($"""["AUTH","{client.Challenge}"]""");
        }
    }

    private async Task ServeAsync(Client client, string id)
    {
        if (CloseReasons.TryDequeue(out var reason))
        {
            await client.SendAsync($"""["CLOSED","{id}","{reason}"]""");
        }
        else
        {
            foreach (var old in Backlog)
            {
                await client.SendAsync($"""["EVENT","{id}",{System.Text.Encoding.UTF8.GetString(old.Json.Span)}]""");
            }

            client.Subscriptions[id] = 0;
            if (SendsEose)
            {
                await client.SendAsync($"""["EOSE","{id}"]""");
            }

            Interlocked.Increment(ref _live);
        }
    }

    private static NostrEvent Parse(System.Text.Json.JsonElement element) =>
        NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(element.GetRawText()), out var evt, out _)
            ? evt
            : throw new InvalidDataException("not an event");

    private sealed class Client(WebSocket socket)
    {
        private readonly SemaphoreSlim _sending = new(1, 1);

        public Guid Id { get; } = Guid.NewGuid();

        public WebSocket Socket => socket;

        public string Challenge { get; set; } = Guid.NewGuid().ToString();

        public bool IsAuthenticated { get; set; }

        /// <summary>Subscriptions that wait for the authentication.</summary>
        public ConcurrentQueue<string> Waiting { get; } = new();

        public ConcurrentDictionary<string, byte> Subscriptions { get; } = new();

        public Task SendAsync(string text) => SendAsync(System.Text.Encoding.UTF8.GetBytes(text));

        public async Task SendAsync(byte[] text)
        {
            await _sending.WaitAsync();
            try
            {
                await socket.SendAsync(text, WebSocketMessageType.Text, true, CancellationToken.None);
            }
            finally
            {
                _sending.Release();
            }
        }
    }
}
