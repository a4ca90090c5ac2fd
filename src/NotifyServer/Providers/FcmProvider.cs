using System.Buffers;
using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.Hosting;
using Marmot.Hosting.Outgoing;

namespace Marmot.NotifyServer.Providers;

/// <summary>Firebase Cloud Messaging, HTTP v1: a data message of high priority without any text.</summary>
internal sealed class FcmProvider : IPushProvider
{
    private const int MaxTokenBytes = 1_021; // marmot-push-v1, the longest a token can be
    private static readonly SearchValues<byte> TokenCharacters = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:.-"u8);
    private static readonly MediaTypeHeaderValue Json = new("application/json") { CharSet = "utf-8" };

    private readonly HttpClient _client;
    private readonly OAuthTokens _tokens;
    private readonly Uri _send;
    private readonly FcmOptions _options;
    private readonly TimeSpan _timeout;
    private readonly TimeProvider _time;
    private bool _validateOnly; // a dry run, for the doctor

    public FcmProvider(FcmOptions options, string projectId, OAuthTokens tokens, HttpClient client, TimeSpan timeout, int repeatsAfterTimeout,
        TimeProvider time)
    {
        RepeatsAfterTimeout = repeatsAfterTimeout;
        _options = options;
        _tokens = tokens;
        _client = client;
        _timeout = timeout;
        _time = time;
        var endpoint = new Uri(options.Endpoint.Length > 0 ? options.Endpoint : FcmOptions.DefaultEndpoint);
        _send = new Uri(endpoint, $"/v1/projects/{Uri.EscapeDataString(projectId)}/messages:send");
    }

    public string Name => "fcm";

    public int RepeatsAfterTimeout { get; }

    public OAuthTokens Tokens => _tokens;

    public static FcmProvider Create(FcmOptions options, string caFile, TimeSpan timeout, TimeProvider time, int repeatsAfterTimeout = 1,
        bool validateOnly = false)
    {
        var account = ServiceAccount.Load(options.ServiceAccountFile);
        var roots = ProviderHttp.LoadRoots(caFile);
        var handler = ProviderHttp.CreateHandler(roots);
        handler.EnableMultipleHttp2Connections = true;
        var client = OutgoingHttp.CreateClient(timeout: null, handler);
        var project = options.ProjectId.Length > 0 ? options.ProjectId : account.ProjectId;
        return new FcmProvider(options, project, new OAuthTokens(account, roots, time), client, timeout, repeatsAfterTimeout, time)
        {
            _validateOnly = validateOnly,
        };
    }

    public bool IsPlausible(ReadOnlySpan<byte> deviceToken) =>
        deviceToken.Length is >= 1 and <= MaxTokenBytes && !deviceToken.ContainsAnyExcept(TokenCharacters);

    public async ValueTask<PushVerdict> SendAsync(PushJob job, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(_timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            var (token, failure) = await _tokens.GetAsync(either.Token);
            if (token is null)
            {
                return failure;
            }

            var verdict = await SendOnceAsync(job, token, either.Token, cancellationToken);
            if (verdict.Reason == PushReason.FcmUnauthenticated && _tokens.TryDiscard(token))
            {
                (token, failure) = await _tokens.GetAsync(either.Token);
                return token is null ? failure : await SendOnceAsync(job, token, either.Token, cancellationToken);
            }

            return verdict;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return PushVerdict.TimedOut; // while waiting for an OAuth token: nothing was sent
        }
    }

    public void Dispose()
    {
        _client.Dispose();
        _tokens.Dispose();
    }

    /// <param name="job">The hint.</param>
    /// <param name="bearer">The OAuth token.</param>
    /// <param name="deadline">Ends the request.</param>
    /// <param name="stop">The part of <paramref name="deadline"/> that is a stop and not a time-out.</param>
    private async ValueTask<PushVerdict> SendOnceAsync(PushJob job, string bearer, CancellationToken deadline, CancellationToken stop)
    {
        var body = new ArrayBufferWriter<byte>(256 + job.DeviceToken.Length);
        WatchedContent? content = null;
        try
        {
            Write(body, job);
            content = new WatchedContent(body.WrittenMemory, Json);
            using var request = new HttpRequestMessage(HttpMethod.Post, _send)
            {
                Version = HttpVersion.Version20,
                VersionPolicy = HttpVersionPolicy.RequestVersionOrLower,
                Content = content,
            };
            request.Headers.TryAddWithoutValidation("Authorization", "Bearer " + bearer);
            using var response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, deadline);
            if (response.StatusCode == HttpStatusCode.OK)
            {
                return PushVerdict.Accepted;
            }

            var (buffer, length) = await ProviderHttp.ReadAnswerAsync(response, deadline);
            try
            {
                return FcmErrors.Sort(response.StatusCode, buffer.AsSpan(0, length), ProviderHttp.RetryAfter(response.Headers, _time.GetUtcNow()));
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return content!.Unanswered(PushVerdict.TimedOut);
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            return content!.Unanswered(PushVerdict.Unreachable, e);
        }
        finally
        {
            CryptographicOperations.ZeroMemory(System.Runtime.InteropServices.MemoryMarshal.AsMemory(body.WrittenMemory).Span);
        }
    }

    private void Write(ArrayBufferWriter<byte> body, PushJob job)
    {
        var left = job.Deadline - _time.GetUptime();
        var seconds = Math.Max(0, (long)left.TotalSeconds);
        using var json = new Utf8JsonWriter(body);
        json.WriteStartObject();
        if (_validateOnly)
        {
            json.WriteBoolean("validate_only", true);
        }

        json.WriteStartObject("message");
        json.WriteString("token"u8, job.DeviceToken); // checked to be plain ASCII before
        json.WriteStartObject("data");
        json.WriteString("content_available", "true");
        json.WriteEndObject();
        json.WriteStartObject("android");
        json.WriteString("priority", "high");
        json.WriteString("ttl", string.Create(CultureInfo.InvariantCulture, $"{seconds}s"));
        if (_options.CollapseKey.Length > 0)
        {
            json.WriteString("collapse_key", _options.CollapseKey);
        }

        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndObject();
    }
}
