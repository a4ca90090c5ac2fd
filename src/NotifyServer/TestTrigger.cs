using System.CommandLine;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.Protocol.RelayClient;
using Marmot.Terminal;

namespace Marmot.NotifyServer;

/// <summary><c>notify test</c>: what a client does to ring one device, for operators.</summary>
internal static class TestTrigger
{
    private static readonly Uri DefaultAdmin = new("http://127.0.0.1:8081/");
    private static readonly TimeSpan OutcomePatience = TimeSpan.FromSeconds(30);

    public static Command CreateCommand()
    {
        var npub = Define.Parsed<Bytes32>("--npub", "KEY", "the server's key", text =>
            Nip19.TryDecodePublicKeyOrHex(text, out var key) ? (key, null) : (key, "an npub or 64 hex digits"));
        var token = Define.Text("--token", "TOKEN", "the device's token: hex for APNs, text for FCM");
        var relay = Define.Parsed("--relay", "URL", "a relay the server listens on", text => (text, RelayUrl.Problem(text, allowPlaintext: true)));
        var platform = Define.Choice("--platform", "whose token it is", "apns", "fcm");
        var dialect = Define.Choice("--dialect", "280-byte MIP-05, 1084-byte MIP-05, or marmot-push-v1", "c", "a", "b");
        var ca = Define.Text("--ca", "FILE", "certificates that the relay's is checked against");
        var admin = Define.Parsed<Uri?>("--admin", "URL", $"the server's admin port, which is asked what became of it; {DefaultAdmin} is tried", text =>
            Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is "http" or "https" ? (url, null) : (null, "an http:// or https:// URL"));
        foreach (var needed in (Option[])[npub, token, relay])
        {
            needed.Required = true;
        }

        var command = new Command("test", "send one trigger to a push server through a relay, and wait for what its provider says")
        {
            npub, token, relay, platform, dialect, ca, admin,
        };
        command.Validators.Add(given =>
        {
            if (given.GetResult(token) is { Tokens: [var text] } && !TryReadToken(PlatformOf(given.GetValue(platform)), text.Value, out _))
            {
                given.AddError("--token: an APNs token is hex");
            }
        });
        command.SetAction((words, _) =>
        {
            var device = PlatformOf(words.GetValue(platform));
            TryReadToken(device, words.GetRequiredValue(token)!, out var bytes);
            TokenDialect size = words.GetValue(dialect) switch
            {
                "a" => TokenDialect.Mip05Short,
                "b" => TokenDialect.Mip05Long,
                _ => TokenDialect.MarmotPushV1,
            };
            var test = new Words(words.GetRequiredValue(npub), device, bytes, size, words.GetRequiredValue(relay), words.GetValue(ca) ?? "",
                words.GetValue(admin));
            return RunAsync(test, words.InvocationConfiguration.Output, words.InvocationConfiguration.Error);
        });
        return command;
    }

    private static async Task<int> RunAsync(Words test, TextWriter output, TextWriter error)
    {
        NostrEvent wrap;
        try
        {
            wrap = Create(test.Server, test.Dialect, [(test.Platform, test.Token)], TimeProvider.System);
        }
        catch (ArgumentException e)
        {
            await error.WriteLineAsync(e.Message);
            return 2;
        }

        // How its counters stand before: what grows afterwards is the outcome.
        using var outcome = await TestOutcome.StartAsync(test.Admin ?? DefaultAdmin, CancellationToken.None);
        if (outcome is null && test.Admin is not null)
        {
            await error.WriteLineAsync($"{test.Admin}: no push server's admin port answers there");
            return 1;
        }

        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        using var identity = SecretKey.Generate(); // some relays take events only from authenticated connections
        var ready = new ReadyObserver();
        var connection = new RelayConnection(
            new RelayConnectionOptions { Url = new Uri(test.Relay), AuthKey = identity, TrustedRoots = ProviderHttp.LoadRoots(test.CaFile) }, ready,
            TimeProvider.System);
        var running = connection.RunAsync(deadline.Token);
        try
        {
            await ready.First.WaitAsync(deadline.Token);
            var result = await connection.PublishAsync(wrap, deadline.Token);
            if (!result.Accepted && result.Prefix == RejectPrefix.AuthRequired)
            {
                await ready.Second.WaitAsync(deadline.Token);
                result = await connection.PublishAsync(wrap, deadline.Token);
            }

            await output.WriteLineAsync(result.Accepted ? $"sent {wrap.Id}" : $"the relay refused it: {result.Prefix.Label()}");
            if (!result.Accepted)
            {
                return 1;
            }
        }
        catch (OperationCanceledException)
        {
            await error.WriteLineAsync("no answer from the relay");
            return 1;
        }
        finally
        {
            await deadline.CancelAsync();
            await running;
        }

        return await ReportAsync(outcome, test.Platform == DevicePlatform.Apns ? "apns" : "fcm", output, error);
    }

    private static async Task<int> ReportAsync(TestOutcome? outcome, string platform, TextWriter output, TextWriter error)
    {
        if (outcome is null)
        {
            await output.WriteLineAsync(
                "what became of it is not known here: the server tells senders nothing. With --admin URL (its admin port) this command waits and says.");
            return 0;
        }

        using var patience = new CancellationTokenSource(OutcomePatience);
        try
        {
            var (accepted, line) = await outcome.WaitAsync(platform, patience.Token);
            await output.WriteLineAsync(line);
            return accepted ? 0 : 1;
        }
        catch (OperationCanceledException)
        {
            await error.WriteLineAsync(
                $"no push ended within {OutcomePatience.TotalSeconds:0} s; does the server listen on this relay, and is the key its own?");
            return 1;
        }
    }

    /// <summary>A gift-wrapped trigger for these devices, under throw-away keys.</summary>
    public static NostrEvent Create(in Bytes32 server, TokenDialect dialect, IReadOnlyList<(DevicePlatform Platform, byte[] Token)> devices, TimeProvider time)
    {
        var tokens = new byte[devices.Count * dialect.TokenSize];
        for (var i = 0; i < devices.Count; i++)
        {
            if (!EncryptedToken.TryCreate(dialect, devices[i].Platform, devices[i].Token, server, tokens.AsSpan(i * dialect.TokenSize, dialect.TokenSize)))
            {
                throw new ArgumentException("the server's key is not on the curve", nameof(server));
            }
        }

        using var author = SecretKey.Generate();
        var rumor = Trigger.CreateRumor(author.PublicKey, dialect, tokens, time.GetUtcNow().ToUnixTimeSeconds());
        return GiftWrap.Create(rumor, author, server, time);
    }

    private static DevicePlatform PlatformOf(string? name) => name == "fcm" ? DevicePlatform.Fcm : DevicePlatform.Apns;

    private static bool TryReadToken(DevicePlatform platform, string text, out byte[] token)
    {
        token = [];
        try
        {
            token = platform == DevicePlatform.Apns ? Convert.FromHexString(text) : System.Text.Encoding.ASCII.GetBytes(text);
            return token.Length > 0;
        }
        catch (FormatException)
        {
            return false;
        }
    }

    private readonly record struct Words(Bytes32 Server, DevicePlatform Platform, byte[] Token, TokenDialect Dialect, string Relay, string CaFile, Uri? Admin);

    private sealed class ReadyObserver : IRelayConnectionObserver
    {
        private readonly TaskCompletionSource _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _second = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Connected.</summary>
        public Task First => _first.Task;

        /// <summary>Authenticated.</summary>
        public Task Second => _second.Task;

        public void OnEvent(in NostrEventView evt, bool live)
        {
            // Nothing is subscribed.
        }

        public void OnState(RelayState state)
        {
            // The calls below say all that matters here.
        }

        public void OnClosed(RejectPrefix prefix, TimeSpan pause)
        {
            // Nothing is subscribed.
        }

        public void OnAuth(bool accepted)
        {
            if (accepted)
            {
                _second.TrySetResult();
            }
        }

        public void OnEoseMissing()
        {
            // Nothing is subscribed.
        }

        public void OnReady() => _first.TrySetResult();
    }
}
