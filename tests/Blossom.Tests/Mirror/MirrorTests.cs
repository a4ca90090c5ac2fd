using System.Net;
using System.Net.Http.Json;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Mirror;

[Trait("Spec", "BUD-04")]
public sealed class MirrorTests : IAsyncLifetime
{
    private readonly byte[] _blob = BlossomServer.RandomBlob(50_000);
    private WebApplication _origin = null!;
    private string _url = "";
    private int _hits;
    private string? _leaked;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        _origin = builder.Build();
        _origin.Run(ServeAsync);
        await _origin.StartAsync();
        _url = _origin.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
    }

    public async Task DisposeAsync() => await _origin.DisposeAsync();

    [Fact]
    public async Task A_blob_of_another_server_comes_over_201_then_200_and_the_origin_learns_nothing()
    {
        await using var server = await StartAsync();
        using var first = await MirrorAsync(server, _url + "/blob", BlossomServer.HashOf(_blob));
        using var second = await MirrorAsync(server, _url + "/blob", BlossomServer.HashOf(_blob));
        Assert.Equal([HttpStatusCode.Created, HttpStatusCode.OK], [first.StatusCode, second.StatusCode]);
        using var get = await server.Http.GetAsync($"/{BlossomServer.HashOf(_blob)}");
        Assert.Equal(_blob, await get.Content.ReadAsByteArrayAsync());
        Assert.Equal("image/png", get.Content.Headers.ContentType!.ToString());
        Assert.Null(_leaked);
    }

    [Theory]
    [InlineData("/redirect", HttpStatusCode.Created)]
    [InlineData("/other", HttpStatusCode.Conflict)]
    [InlineData("/loop", HttpStatusCode.BadGateway)]
    [InlineData("/gzip", HttpStatusCode.BadGateway)]
    [InlineData("/missing", HttpStatusCode.BadGateway)]
    [InlineData("/file-redirect", HttpStatusCode.BadGateway)]
    [InlineData("/truncated", HttpStatusCode.BadGateway)]
    [InlineData("/large", HttpStatusCode.RequestEntityTooLarge)]
    [InlineData("/endless", HttpStatusCode.RequestEntityTooLarge)]
    [InlineData("/silent", HttpStatusCode.BadGateway)]
    [InlineData("/trickle", HttpStatusCode.BadGateway)]
    public async Task Each_kind_of_origin_gets_its_answer_and_a_failed_one_leaves_nothing(string path, HttpStatusCode status)
    {
        await using var server = await StartAsync();
        using var answer = await MirrorAsync(server, _url + path, BlossomServer.HashOf(_blob));
        Assert.Equal(status, answer.StatusCode);
        Assert.Equal(status == HttpStatusCode.Created ? 1 : 0, server.BlobFiles().Count());
    }

    [Theory]
    [InlineData("http://127.0.0.1:{0}/blob")]
    [InlineData("http://localhost:{0}/blob")]
    [InlineData("http://LOCALHOST.:{0}/blob")]
    [InlineData("http://2130706433:{0}/blob")]
    [InlineData("http://0x7f.1:{0}/blob")]
    [InlineData("http://0:{0}/blob")]
    [InlineData("http://[::ffff:127.0.0.1]:{0}/blob")]
    [InlineData("http://[::ffff:7f00:1]:{0}/blob")]
    [InlineData("http://[::]:{0}/blob")]
    [InlineData("http://user@127.0.0.1:{0}/blob")]
    [InlineData("file:///etc/passwd")]
    public async Task No_spelling_of_the_own_machine_is_fetched(string url)
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        var port = new Uri(_url).Port.ToString(System.Globalization.CultureInfo.InvariantCulture);
        using var answer = await MirrorAsync(server, url.Replace("{0}", port, StringComparison.Ordinal), BlossomServer.HashOf(_blob));
        Assert.Contains(answer.StatusCode, (HttpStatusCode[])[HttpStatusCode.BadGateway, HttpStatusCode.BadRequest]);
        Assert.Equal(0, _hits);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"url\":5}")]
    [InlineData("{\"url\":\"nothing\"}")]
    [InlineData("{\"url\":\"https://\\ud800/\"}")]
    [InlineData("{\"\\ud800rl\":\"https://blobs.example/\"}")]
    [InlineData("{")]
    public async Task A_body_without_a_usable_url_is_400(string body)
    {
        await using var server = await StartAsync();
        using var answer = await SendAsync(server, new StringContent(body), BlossomServer.HashOf([1]));
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
    }

    [Fact]
    public async Task A_private_server_does_not_mirror()
    {
        await using var server = await BlossomServer.StartAsync();
        using var answer = await MirrorAsync(server, _url + "/blob", BlossomServer.HashOf(_blob));
        Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
        Assert.Equal(0, _hits);
    }

    private static Task<BlossomServer> StartAsync() => BlossomServer.StartAsync(
        "--Blossom:Profile=General", "--Blossom:MirrorPrivateAddresses=true", "--Blossom:MaxUploadBytes=100000", "--Blossom:MirrorAnswerTimeout=00:00:02",
        "--Blossom:MinUploadBytesPerSecond=1000", "--Blossom:SlowUploadGrace=00:00:02");

    private static Task<HttpResponseMessage> MirrorAsync(BlossomServer server, string url, Bytes32 hash) =>
        SendAsync(server, JsonContent.Create(new { url }), hash);

    private static async Task<HttpResponseMessage> SendAsync(BlossomServer server, HttpContent body, Bytes32 hash)
    {
        using var key = SecretKey.Generate();
        using var request = new HttpRequestMessage(HttpMethod.Put, "/mirror") { Content = body };
        request.Headers.TryAddWithoutValidation("Authorization", server.Token(key, BlossomVerb.Upload, hash));
        request.Headers.TryAddWithoutValidation("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.Headers.TryAddWithoutValidation("tracestate", "client=secret");
        request.Headers.TryAddWithoutValidation("baggage", "who=me");
        return await server.Http.SendAsync(request);
    }

    private async Task ServeAsync(HttpContext context)
    {
        Interlocked.Increment(ref _hits);
        if (context.Request.Headers.Authorization.Count + context.Request.Headers.Cookie.Count + context.Request.Headers["X-Forwarded-For"].Count > 0
            || context.Request.Headers.Keys.Any(name => name.ToLowerInvariant() is "traceparent" or "tracestate" or "baggage" or "correlation-context"))
        {
            _leaked = "a header of the caller";
        }

        var response = context.Response;
        switch (context.Request.Path.Value)
        {
            case "/blob":
                response.ContentType = "image/png";
                await response.Body.WriteAsync(_blob);
                break;
            case "/other":
                await response.Body.WriteAsync(new byte[10]);
                break;
            case "/redirect":
                response.Redirect("/blob");
                break;
            case "/loop":
                response.Redirect("/loop");
                break;
            case "/file-redirect":
                response.Redirect("file:///etc/passwd");
                break;
            case "/gzip":
                response.Headers.ContentEncoding = "gzip";
                await response.Body.WriteAsync(_blob);
                break;
            case "/truncated":
                response.ContentLength = _blob.Length;
                await response.Body.WriteAsync(_blob.AsMemory(0, 100));
                await response.Body.FlushAsync();
                context.Abort();
                break;
            case "/large":
                response.ContentLength = 1_000_000;
                await response.Body.WriteAsync(new byte[1_000_000]);
                break;
            case "/endless":
                while (!context.RequestAborted.IsCancellationRequested)
                {
                    await response.Body.WriteAsync(_blob);
                }

                break;
            case "/silent":
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
                break;
            case "/trickle":
                while (!context.RequestAborted.IsCancellationRequested)
                {
                    await response.Body.WriteAsync(new byte[1]);
                    await response.Body.FlushAsync();
                    await Task.Delay(100);
                }

                break;
            default:
                response.StatusCode = StatusCodes.Status404NotFound;
                break;
        }
    }
}
