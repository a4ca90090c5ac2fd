using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.ProviderSimulators;

/// <summary>
/// Google's OAuth token endpoint (<c>/token</c>) and FCM HTTP v1 (<c>/v1/projects/ID/messages:send</c>) on one loopback port,
/// HTTP/2 and HTTP/1.1 over TLS, with scripted verdicts and every push on record. Thread-safe.
/// </summary>
public sealed class FcmSimulator : IAsyncDisposable
{
    private const string OAuthScript = "oauth";
    private const int MaxFormBytes = 16 * 1024;

    private static readonly JsonSerializerOptions ServiceAccountFormat = new()
    {
        WriteIndented = true,
        Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private readonly FcmSimulatorOptions _options;
    private readonly SimulatorAuthority _authority;
    private readonly RSA _key;
    private readonly string _keyId;
    private readonly VerdictBook _verdicts = new();
    private readonly VerdictBook _oauthVerdicts = new();
    private readonly RequestLog _log;
    private readonly FcmQuota _quota;
    private readonly CancellationTokenSource _stopping = new();
    private readonly WebApplication _server;
    private FcmTokenEndpoint _tokens = null!;
    private int _tokenRequests;
    private long _messages;

    private FcmSimulator(FcmSimulatorOptions options)
    {
        _options = options;
        _authority = options.Authority ?? SimulatorAuthority.Create(options.HostNames);
        _key = options.ServiceAccountKey ?? RSA.Create(2048);
        // Google's key ids are 40 hex digits; this one follows from the key, so that a kept key keeps its id.
        _keyId = Convert.ToHexStringLower(SHA256.HashData(_key.ExportSubjectPublicKeyInfo()).AsSpan(0, 20));
        _log = new RequestLog(options.OnRequest);
        _quota = new FcmQuota(options.Clock);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(options.Address, options.Port, listen =>
            {
                listen.Protocols = HttpProtocols.Http1AndHttp2;
                listen.UseHttps(_authority.ServerCertificate);
            });
        });
        _server = builder.Build();
        _server.Run(HandleAsync);
    }

    /// <summary>The base of the FCM API: <c>https://localhost:PORT</c>.</summary>
    public Uri Endpoint => new(string.Create(CultureInfo.InvariantCulture, $"https://{_options.PublicHost}:{Port}"));
    /// <summary>The OAuth endpoint, which is also the audience of assertions.</summary>
    public Uri TokenUri => new(Endpoint, "/token");
    public int Port { get; private set; }
    public X509Certificate2 CaCertificate => _authority.CaCertificate;
    public string CaCertificatePem => _authority.CaCertificatePem;
    public string ProjectId => _options.ProjectId;
    public string ClientEmail => $"marmot-sim@{_options.ProjectId}.iam.gserviceaccount.com";

    /// <summary>A service account file as Google's console hands out, pointing at this simulator.</summary>
    public string ServiceAccountJson => JsonSerializer.Serialize(new
    {
        type = "service_account",
        project_id = _options.ProjectId,
        private_key_id = _keyId,
        private_key = _key.ExportPkcs8PrivateKeyPem() + "\n",
        client_email = ClientEmail,
        client_id = "100000000000000000001",
        auth_uri = new Uri(Endpoint, "/o/oauth2/auth"),
        token_uri = TokenUri,
        universe_domain = "googleapis.com",
    }, ServiceAccountFormat) + "\n";

    /// <summary>All push requests so far, in the order of their answers.</summary>
    public IReadOnlyList<SimulatedRequest> Requests => _log.Snapshot;
    /// <summary>Waits until so many push requests are on record, and returns all.</summary>
    public Task<IReadOnlyList<SimulatedRequest>> WaitForRequestsAsync(int count, CancellationToken cancellationToken) =>
        _log.WaitAsync(count, cancellationToken);
    /// <summary>Requests for the token, whatever became of them.</summary>
    public int RequestsFor(string token) => _log.CountOf(token, acceptedOnly: false);
    /// <summary>Messages the device would have got.</summary>
    public int DeliveriesFor(string token) => _log.CountOf(token, acceptedOnly: true);
    public void ClearRequests() => _log.Clear();
    /// <summary>Posts to the token endpoint.</summary>
    public int TokenRequestCount => Volatile.Read(ref _tokenRequests);
    /// <summary>Access tokens issued.</summary>
    public int IssuedTokenCount => _tokens.IssuedCount;

    /// <summary>Scripts the answers for one device token; no verdicts: back to normal.</summary>
    public void Script(string token, params IEnumerable<SimulatedVerdict> verdicts) => _verdicts.Set(token, verdicts);
    /// <summary>Scripts the answers for every token without a script of its own.</summary>
    public void ScriptAll(params IEnumerable<SimulatedVerdict> verdicts) => _verdicts.Set(VerdictBook.AnyToken, verdicts);
    /// <summary>Scripts the token endpoint; a verdict of 200 with a body stands in for the real answer.</summary>
    public void ScriptOAuth(params IEnumerable<SimulatedVerdict> verdicts) => _oauthVerdicts.Set(OAuthScript, verdicts);
    /// <summary>Every access token issued so far is worthless from now on.</summary>
    public void RevokeAccessTokens() => _tokens.RevokeAll();
    /// <summary>The service account is gone: invalid_grant for good.</summary>
    public void DeleteServiceAccount() => _tokens.DeleteAccount();
    /// <summary>While set, pushes are read and never answered.</summary>
    public bool BlackHole { get; set; }

    public static async Task<FcmSimulator> StartAsync(FcmSimulatorOptions options, CancellationToken cancellationToken)
    {
        var simulator = new FcmSimulator(options);
        try
        {
            await simulator._server.StartAsync(cancellationToken);
        }
        catch
        {
            await simulator.DisposeAsync();
            throw;
        }
        var address = simulator._server.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.First();
        simulator.Port = BindingAddress.Parse(address).Port;
        simulator._tokens = new FcmTokenEndpoint(options, simulator._key, simulator._keyId, simulator.ClientEmail, simulator.TokenUri.ToString());
        return simulator;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        using (var now = new CancellationTokenSource(TimeSpan.FromSeconds(1))) await _server.StopAsync(now.Token);
        await _server.DisposeAsync();
        _stopping.Dispose();
        if (_options.ServiceAccountKey is null) _key.Dispose();
        if (_options.Authority is null) _authority.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        try
        {
            var path = context.Request.Path.Value ?? "";
            if (path == "/token") await HandleTokenAsync(context);
            else if (TryParseSend(path, out var project)) await HandleSendAsync(context, project);
            else await WriteAsync(context, 404, FcmErrors.NotFoundPage, "text/html; charset=UTF-8");
        }
        catch (Exception failure) when (failure is OperationCanceledException or IOException)
        {
            // The client left.
        }
    }

    private async Task HandleTokenAsync(HttpContext context)
    {
        Interlocked.Increment(ref _tokenRequests);
        var form = await ReadFormAsync(context);
        var verdict = _oauthVerdicts.Take(OAuthScript);
        if (!await WaitAsync(verdict.Delay, context)) return;
        if (verdict.Fault is not (SimulatedFault.None or SimulatedFault.LostAnswer))
        {
            await FailAsync(context, verdict.Fault);
            return;
        }
        if (verdict.RetryAfter is not null) context.Response.Headers.RetryAfter = verdict.RetryAfter;
        if (verdict.Body is not null)
        {
            await WriteAsync(context, verdict.Status, verdict.Body, verdict.ContentType);
        }
        else if (verdict.Status != 200)
        {
            await WriteAsync(context, verdict.Status, FcmTokenEndpoint.Error(verdict.Reason ?? "internal_failure", "scripted"));
        }
        else if (context.Request.Method != HttpMethods.Post || form is null)
        {
            await WriteAsync(context, 400, FcmTokenEndpoint.Error("invalid_request", "POST a form"));
        }
        else
        {
            var (status, body) = _tokens.Exchange(form);
            if (verdict.Fault == SimulatedFault.LostAnswer) await FailAsync(context, SimulatedFault.BlackHole);
            else await WriteAsync(context, status, body);
        }
    }

    // One push, in numbered steps.
    private async Task HandleSendAsync(HttpContext context, string project)
    {
        // 1. Read and note
        var body = await ReadBodyAsync(context, FcmMessageChecks.MaxBodyBytes + 1);
        var warnings = new List<string>();
        var record = NewRecord(context, project, body);
        // 2. Everything the provider checks; the script has a say only where it would have said yes.
        var (status, answer, reason) = Judge(context, project, record.Token, body, warnings);
        record = record with { Warnings = warnings };
        var verdict = status != 200
            ? new SimulatedVerdict
            {
                Status = status,
                Reason = reason,
                Body = answer,
                RetryAfter = status == 429 ? _options.QuotaRetryAfter : null,
                ContentType = ContentTypeOf(answer),
            }
            : BlackHole ? new SimulatedVerdict { Fault = SimulatedFault.BlackHole }
            : reason == DryRun ? new SimulatedVerdict { Body = answer }
            : _verdicts.Take(record.Token);
        // 3. Time
        if (!await WaitAsync(verdict.Delay, context))
        {
            _log.Add(record with { Status = 0, Reason = "client gave up", Accepted = false });
            return;
        }
        // 4. Fault or answer
        if (verdict.Fault != SimulatedFault.None)
        {
            _log.Add(record with { Status = 0, Reason = verdict.Fault.ToString(), Accepted = verdict.Fault == SimulatedFault.LostAnswer });
            await FailAsync(context, verdict.Fault);
            return;
        }
        var success = verdict.Status == 200;
        _log.Add(record with
        {
            Status = verdict.Status,
            Reason = success && reason == DryRun ? DryRun : verdict.Reason,
            Accepted = success && reason != DryRun,
        });
        if (verdict.RetryAfter is not null) context.Response.Headers.RetryAfter = verdict.RetryAfter;
        await WriteAsync(context, verdict.Status, verdict.Body ?? (success ? answer : FcmErrors.OfCode(verdict.Status, verdict.Reason)), verdict.ContentType);
    }

    /// <summary>The reason on record for a message that was only validated.</summary>
    private const string DryRun = "validate_only";

    private (int Status, string Body, string? Reason) Judge(HttpContext context, string project, string token, byte[] body, List<string> warnings)
    {
        if (context.Request.Method != HttpMethods.Post) return (404, FcmErrors.NotFoundPage, "not found");
        // Credential
        var authorization = context.Request.Headers.Authorization.ToString();
        if (authorization.Length == 0)
        {
            return (401,
                FcmErrors.OfReason(401, "Request is missing required authentication credential. Expected OAuth 2 access token.", "CREDENTIALS_MISSING"),
                "UNAUTHENTICATED");
        }

        if (!authorization.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) || !_tokens.IsValid(authorization["Bearer ".Length..].Trim()))
        {
            return (401, FcmErrors.OfReason(401, "Request had invalid authentication credentials. Expected OAuth 2 access token.", "ACCESS_TOKEN_EXPIRED"),
                "UNAUTHENTICATED");
        }
        // Project
        if (_options.ForeignProjects.Contains(project))
        {
            return (403, FcmErrors.OfReason(403, "Permission 'cloudmessaging.messages.create' denied on resource.", "IAM_PERMISSION_DENIED"),
                "PERMISSION_DENIED");
        }

        if (project != _options.ProjectId) return (404, FcmErrors.Write(404, "NOT_FOUND", "Requested entity was not found."), "NOT_FOUND");
        // Message
        if (FcmMessageChecks.Check(body, warnings, out var validateOnly) is { } refusal) return (400, refusal, "INVALID_ARGUMENT");
        if (validateOnly) return (200, Name("fake_message_id"), DryRun);
        // Quota
        if (!_quota.TryTake("project", _options.ProjectQuotaPerMinute))
        {
            return (429, FcmErrors.OfQuota("project:" + project, "Quota exceeded for messages per minute."), "QUOTA_EXCEEDED");
        }

        if (!_quota.TryTake("device:" + token, _options.DeviceQuotaPerMinute))
        {
            return (429, FcmErrors.OfQuota("device", "Device message rate exceeded."), "QUOTA_EXCEEDED");
        }

        return (200, Name("0:" + Interlocked.Increment(ref _messages).ToString("D16", CultureInfo.InvariantCulture)), null);
    }

    private string Name(string id) => JsonSerializer.Serialize(new { name = $"projects/{_options.ProjectId}/messages/{id}" });

    private async Task FailAsync(HttpContext context, SimulatedFault fault)
    {
        switch (fault)
        {
            case SimulatedFault.BlackHole or SimulatedFault.LostAnswer:
                using (var end = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stopping.Token))
                {
                    await Task.Delay(Timeout.InfiniteTimeSpan, end.Token);
                }
                break;
            case SimulatedFault.RefusedStream when context.Features.Get<IHttpResetFeature>() is { } reset:
                reset.Reset((int)Http2.Http2Error.RefusedStream);
                break;
            case SimulatedFault.ResetStream when context.Features.Get<IHttpResetFeature>() is { } reset:
                reset.Reset((int)Http2.Http2Error.InternalError);
                break;
            default:
                if (context.Features.Get<IConnectionLifetimeFeature>() is { } connection) connection.Abort();
                else context.Abort();
                break;
        }
    }

    private async Task<bool> WaitAsync(TimeSpan extra, HttpContext context)
    {
        var delay = _options.Latency + extra + Random.Shared.NextDouble() * _options.Jitter;
        if (delay <= TimeSpan.Zero) return true;
        try
        {
            using var end = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _stopping.Token);
            await Task.Delay(delay, _options.Clock, end.Token);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private SimulatedRequest NewRecord(HttpContext context, string project, byte[] body) => new()
    {
        Number = 0,
        Time = _options.Clock.GetUtcNow(),
        ConnectionId = context.Connection.Id,
        Method = context.Request.Method,
        Path = context.Request.Path.Value ?? "",
        Token = FcmMessageChecks.TokenOf(body),
        Topic = project,
        Headers = [
            .. context.Request.Headers.Where(header => !header.Key.StartsWith(':'))
                .SelectMany(header => header.Value.Select(value => KeyValuePair.Create(header.Key.ToLowerInvariant(), value ?? "")))
        ],
        Body = body,
        Status = 0,
        Accepted = false,
    };

    private static bool TryParseSend(string path, out string project)
    {
        const string Start = "/v1/projects/";
        const string End = "/messages:send";
        project = "";
        if (!path.StartsWith(Start, StringComparison.Ordinal) || !path.EndsWith(End, StringComparison.Ordinal) || path.Length <= Start.Length + End.Length)
        {
            return false;
        }

        project = path[Start.Length..^End.Length];
        return !project.Contains('/', StringComparison.Ordinal);
    }

    private static async Task<Dictionary<string, string>?> ReadFormAsync(HttpContext context)
    {
        if (!context.Request.HasFormContentType) return null;
        var text = System.Text.Encoding.UTF8.GetString(await ReadBodyAsync(context, MaxFormBytes));
        return Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(text).ToDictionary(pair => pair.Key, pair => pair.Value.ToString());
    }

    private static async Task<byte[]> ReadBodyAsync(HttpContext context, int limit)
    {
        var body = new MemoryStream();
        var buffer = new byte[8192];
        for (int read; body.Length < limit && (read = await context.Request.Body.ReadAsync(buffer, context.RequestAborted)) > 0;)
        {
            body.Write(buffer, 0, (int)Math.Min(read, limit - body.Length));
        }
        return body.ToArray();
    }

    private static string ContentTypeOf(string body) => body.StartsWith('<') ? "text/html; charset=UTF-8" : "application/json; charset=UTF-8";

    private static Task WriteAsync(HttpContext context, int status, string body, string contentType = "application/json; charset=UTF-8")
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        return context.Response.WriteAsync(body, context.RequestAborted);
    }
}
