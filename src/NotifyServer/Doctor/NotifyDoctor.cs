using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Marmot.Hosting;
using Marmot.Hosting.Outgoing;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Keys;

namespace Marmot.NotifyServer.Doctor;

/// <summary>What a check came to.</summary>
public enum DoctorVerdict
{
    /// <summary>As it should be.</summary>
    Passed,

    /// <summary>It works, and will fail somebody some day.</summary>
    Warning,

    /// <summary>It does not work.</summary>
    Failed,
}

/// <summary>One check of a push server's surroundings.</summary>
/// <param name="Check">What was looked at, e.g. <c>app one: apns credential</c>.</param>
/// <param name="Verdict">What it came to.</param>
/// <param name="Detail">A word for the operator; holds no secret and no device token.</param>
/// <param name="Took">How long it took.</param>
public sealed record DoctorFinding(string Check, DoctorVerdict Verdict, string Detail, TimeSpan Took);

/// <summary>Looks at everything outside the process that a push server depends on: keys, clock, names, TLS, ALPN, credentials at both providers,
/// relays.</summary>
/// <remarks>Rings nobody: APNs is asked with a device token that nobody has, FCM with <c>validate_only</c>, relays with a trigger of padding. Changes nothing
/// but what a start would: no key is made, no inbox list published. Checks go on after one has failed.</remarks>
public sealed class NotifyDoctor(NotifyOptions options, TimeProvider time)
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    // Apple takes a provider token dated up to a minute ahead, Google's OAuth five minutes; triggers are dated by clients.
    private static readonly TimeSpan SkewToWarn = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan SkewToFail = TimeSpan.FromMinutes(5);

    /// <summary>All checks, one after the other.</summary>
    public async IAsyncEnumerable<DoctorFinding> ExamineAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var app in options.Apps)
        {
            using var key = TryLoad(app, out var finding);
            yield return finding;
            foreach (var check in Providers(app))
            {
                yield return await check(cancellationToken);
            }

            foreach (var relay in options.Relays)
            {
                await foreach (var result in RelayDoctor.ExamineAsync(options, app.Name, key, relay, time, cancellationToken))
                {
                    yield return result;
                }
            }
        }
    }

    private static DoctorFinding NoKey(NotifyAppOptions app, string detail) => new($"app {app.Name}: key", DoctorVerdict.Failed, detail, TimeSpan.Zero);

    private static SecretKey? TryLoad(NotifyAppOptions app, out DoctorFinding finding)
    {
        try
        {
            if (!File.Exists(app.KeyFile))
            {
                finding = new DoctorFinding($"app {app.Name}: key", DoctorVerdict.Warning, "not made yet; the first start makes it", TimeSpan.Zero);
                return null;
            }

            var key = KeyFile.Load(app.KeyFile);
            foreach (var retiring in app.RetiringKeyFiles)
            {
                KeyFile.Load(retiring).Dispose();
            }

            finding = new DoctorFinding($"app {app.Name}: key", DoctorVerdict.Passed, key.PublicKey.ToString(), TimeSpan.Zero);
            return key;
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            finding = NoKey(app, e.Message);
            return null;
        }
    }

    private IEnumerable<Func<CancellationToken, Task<DoctorFinding>>> Providers(NotifyAppOptions app)
    {
        if (app.Apns.IsConfigured)
        {
            var endpoint = ApnsProvider.EndpointOf(app.Apns);
            yield return stop => CheckAsync($"app {app.Name}: apns name", token => ResolveAsync(endpoint, token), stop);
            yield return stop => CheckAsync($"app {app.Name}: apns tls", token => HandshakeAsync(endpoint, app.CaFile, needsHttp2: true, token), stop);
            yield return stop => CheckAsync($"app {app.Name}: apns credential", token => AskApnsAsync(app, token), stop);
        }

        if (app.Fcm.IsConfigured)
        {
            var endpoint = new Uri(app.Fcm.Endpoint.Length > 0 ? app.Fcm.Endpoint : FcmOptions.DefaultEndpoint);
            yield return stop => CheckAsync($"app {app.Name}: fcm name", token => ResolveAsync(endpoint, token), stop);
            yield return stop => CheckAsync($"app {app.Name}: fcm tls", token => HandshakeAsync(endpoint, app.CaFile, needsHttp2: false, token), stop);
            yield return stop => CheckAsync($"app {app.Name}: clock", token => CompareClocksAsync(endpoint, app.CaFile, token), stop);
            yield return stop => CheckAsync($"app {app.Name}: fcm credential", token => AskFcmAsync(app, token), stop);
        }
    }

    /// <summary>Runs one check inside its time; what it throws becomes its finding.</summary>
    internal static async Task<DoctorFinding> CheckAsync(string name, Func<CancellationToken, Task<(DoctorVerdict, string)>> check, CancellationToken stop)
    {
        var started = Stopwatch.GetTimestamp();
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(Patience);
        (DoctorVerdict Verdict, string Detail) result;
        try
        {
            result = await check(deadline.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            result = (DoctorVerdict.Failed, $"no answer within {Patience.TotalSeconds:0} s");
        }
        catch (Exception e)
            when (e is SocketException or IOException or AuthenticationException or HttpRequestException or InvalidDataException or UnauthorizedAccessException
            or CryptographicException)
        {
            result = (DoctorVerdict.Failed, e.Message); // of the network or of our own readers, which quote no file
        }

        return new DoctorFinding(name, result.Verdict, result.Detail, Stopwatch.GetElapsedTime(started));
    }

    private static async Task<(DoctorVerdict, string)> ResolveAsync(Uri endpoint, CancellationToken cancellationToken)
    {
        var addresses = await Dns.GetHostAddressesAsync(endpoint.DnsSafeHost, cancellationToken);
        return (DoctorVerdict.Passed, $"{addresses.Length} addresses");
    }

    private static async Task<(DoctorVerdict, string)> HandshakeAsync(Uri endpoint, string caFile, bool needsHttp2, CancellationToken cancellationToken)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(endpoint.DnsSafeHost, endpoint.Port, cancellationToken);
        await using var stream = new SslStream(client.GetStream());
        var tls = ProviderHttp.LoadRoots(caFile) is { } roots ? OutgoingHttp.PrivateTrust(roots) : new SslClientAuthenticationOptions();
        tls.TargetHost = endpoint.DnsSafeHost;
        tls.ApplicationProtocols = [SslApplicationProtocol.Http2, SslApplicationProtocol.Http11];
        await stream.AuthenticateAsClientAsync(tls, cancellationToken);
        using var certificate = new X509Certificate2(stream.RemoteCertificate!);
        var detail = $"{stream.SslProtocol}, {stream.NegotiatedApplicationProtocol}, certificate until {certificate.NotAfter.ToUniversalTime():yyyy-MM-dd}";
        return needsHttp2 && stream.NegotiatedApplicationProtocol != SslApplicationProtocol.Http2
            ? (DoctorVerdict.Failed, detail + "; APNs speaks HTTP/2 only: something stands in between")
            : (DoctorVerdict.Passed, detail);
    }

    private async Task<(DoctorVerdict, string)> CompareClocksAsync(Uri endpoint, string caFile, CancellationToken cancellationToken)
    {
        using var client = OutgoingHttp.CreateClient(TimeSpan.FromSeconds(100), ProviderHttp.CreateHandler(ProviderHttp.LoadRoots(caFile)));
        using var response = await client.GetAsync(endpoint, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        return response.Headers.Date is { } theirs ? JudgeSkew(time.GetUtcNow() - theirs) : (DoctorVerdict.Warning, "the provider names no time");
    }

    /// <summary>What a difference of clocks means.</summary>
    internal static (DoctorVerdict Verdict, string Detail) JudgeSkew(TimeSpan ahead)
    {
        var detail = $"our clock is {Math.Abs(ahead.TotalSeconds):0} s {(ahead < TimeSpan.Zero ? "behind" : "ahead")}";
        return ahead.Duration() >= SkewToFail ? (DoctorVerdict.Failed, detail + "; credentials will be refused")
            : ahead.Duration() >= SkewToWarn ? (DoctorVerdict.Warning, detail)
            : (DoctorVerdict.Passed, detail);
    }

    private async Task<(DoctorVerdict, string)> AskApnsAsync(NotifyAppOptions app, CancellationToken cancellationToken)
    {
        using var provider = ApnsProvider.Create(app.Apns, app.CaFile, Patience, time);
        return Judge(await AskAsync(provider, RandomNumberGenerator.GetBytes(32), cancellationToken));
    }

    private async Task<(DoctorVerdict, string)> AskFcmAsync(NotifyAppOptions app, CancellationToken cancellationToken)
    {
        using var provider = FcmProvider.Create(app.Fcm, app.CaFile, Patience, time, validateOnly: true);
        return Judge(await AskAsync(provider, "marmot-doctor-token-that-nobody-has"u8.ToArray(), cancellationToken));
    }

    private async Task<PushVerdict> AskAsync(IPushProvider provider, byte[] token, CancellationToken cancellationToken)
    {
        using var job = new PushJob(token, time.GetUptime(), time.GetUptime() + TimeSpan.FromMinutes(1));
        return await provider.SendAsync(job, cancellationToken);
    }

    // A provider that judges the token has taken the credential first.
    private static (DoctorVerdict, string) Judge(PushVerdict verdict) => verdict.Outcome switch
    {
        PushOutcome.Accepted => (DoctorVerdict.Passed, "accepted"),
        PushOutcome.TokenDead => (DoctorVerdict.Passed, $"the credential is good: {verdict.Reason.Label()} for a token that nobody has"),
        PushOutcome.TokenForeign => (DoctorVerdict.Warning, $"{verdict.Reason.Label()}: is the topic or project the app's?"),
        PushOutcome.TokenBusy => (DoctorVerdict.Warning, verdict.Reason.Label()),
        _ => (DoctorVerdict.Failed, verdict.Reason.Label()),
    };
}
