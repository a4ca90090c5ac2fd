using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.Protocol.RelayClient;

namespace Marmot.NotifyServer;

/// <summary><c>notify test</c>: what a client does to ring one device, for operators.</summary>
internal static class TestTrigger
{
    private static readonly Uri DefaultAdmin = new("http://127.0.0.1:8081/");
    private static readonly TimeSpan OutcomePatience = TimeSpan.FromSeconds(30);

    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter error)
    {
        if (!TryReadArguments(args, out var test))
        {
            await error.WriteLineAsync("notify test --npub KEY --token TOKEN --relay URL [--platform apns|fcm] [--dialect a|b|c] [--ca FILE] [--admin URL]");
            return 2;
        }

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

    private static bool TryReadArguments(string[] args, out Arguments arguments)
    {
        arguments = default;
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        for (var i = 0; i < args.Length; i += 2)
        {
            if (i + 1 == args.Length || args[i] is not ("--npub" or "--token" or "--relay" or "--platform" or "--dialect" or "--ca" or "--admin")
                || !values.TryAdd(args[i], args[i + 1]))
            {
                return false;
            }
        }

        var token = values.GetValueOrDefault("--token", "");
        var relay = values.GetValueOrDefault("--relay", "");
        if (!Nip19.TryDecodePublicKeyOrHex(values.GetValueOrDefault("--npub", ""), out var server) || RelayUrl.Problem(relay, allowPlaintext: true) is not null)
        {
            return false;
        }

        DevicePlatform? platform = values.GetValueOrDefault("--platform", "apns") switch
        {
            "apns" => DevicePlatform.Apns,
            "fcm" => DevicePlatform.Fcm,
            _ => null,
        };
        TokenDialect? dialect = values.GetValueOrDefault("--dialect", "c") switch
        {
            "a" => TokenDialect.Mip05Short,
            "b" => TokenDialect.Mip05Long,
            "c" => TokenDialect.MarmotPushV1,
            _ => null,
        };
        if (platform is null || dialect is null || !TryReadToken(platform.Value, token, out var bytes))
        {
            return false;
        }

        Uri? admin = null;
        if (values.TryGetValue("--admin", out var address) && !(Uri.TryCreate(address, UriKind.Absolute, out admin) && admin.Scheme is "http" or "https"))
        {
            return false;
        }

        arguments = new Arguments(server, platform.Value, bytes, dialect.Value, relay, values.GetValueOrDefault("--ca", ""), admin);
        return true;
    }

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

    private readonly record struct Arguments(Bytes32 Server, DevicePlatform Platform, byte[] Token, TokenDialect Dialect, string Relay,
        string CaFile, Uri? Admin);

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
