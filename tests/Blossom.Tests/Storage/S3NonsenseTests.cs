using System.Net;
using System.Text;
using Marmot.Blossom.Retention;
using Marmot.Hosting.Health;
using Marmot.Protocol.Keys;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Storage;

/// <summary>An endpoint that is no S3 and answers all the same.</summary>
public sealed class S3NonsenseTests : IAsyncLifetime
{
    private WebApplication _endpoint = null!;
    private string _url = "";
    private string _answer = "";
    private string _type = "text/html";
    private int _status = 200;

    public async Task InitializeAsync()
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseUrls("http://127.0.0.1:0");
        _endpoint = builder.Build();
        _endpoint.Run(async context =>
        {
            context.Response.StatusCode = _status;
            context.Response.ContentType = _type;
            await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(_answer));
        });
        await _endpoint.StartAsync();
        _url = _endpoint.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
    }

    public async Task DisposeAsync() => await _endpoint.DisposeAsync();

    [Theory]
    [InlineData(200, "text/html", "<html><body>Welcome to the hotel</body></html>")]
    [InlineData(200, "application/xml", "<ListBucketResult")]
    [InlineData(200, "application/xml",
        "<ListBucketResult><MaxKeys>many</MaxKeys><Contents><LastModified>soon</LastModified><Size>x</Size></Contents></ListBucketResult>")]
    [InlineData(200, "application/json", "{\"ok\":true}")]
    [InlineData(200, "text/plain", "")]
    [InlineData(302, "text/html", "")]
    [InlineData(500, "text/html", "\0\u0001garbage")]
    [InlineData(403, "application/xml", "<Error><Code></Code>")]
    [InlineData(404, "text/html", "nothing here")]
    public async Task The_server_starts_says_why_and_acknowledges_nothing(int status, string type, string answer)
    {
        (_status, _type, _answer) = (status, type, answer);
        var secret = Path.GetTempFileName();
        await File.WriteAllTextAsync(secret, "secret");
        await using (var server = await BlossomServer.StartAsync(
            "--Blossom:Blobs=S3", $"--Blossom:S3:Endpoint={_url}", "--Blossom:S3:Bucket=blobs", $"--Blossom:S3:AccessKeyFile={secret}",
            $"--Blossom:S3:SecretKeyFile={secret}", "--Blossom:S3:Timeout=00:00:05", "--Blossom:SweepInterval=00:00:00.100"))
        {
            using var key = SecretKey.Generate();
            foreach (var size in (int[])[10, 9_000_000]) // one request, and parts
            {
                var blob = BlossomServer.RandomBlob(size);
                using var up = await server.UploadAsync(key, blob);
                Assert.Equal(HttpStatusCode.ServiceUnavailable, up.StatusCode);
                Assert.NotNull(up.Header("X-Reason"));
                Assert.Equal(HttpStatusCode.NotFound, (await server.Http.GetAsync($"/{BlossomServer.HashOf(blob)}")).StatusCode);
            }

            if (answer.Length > 0 && status is not 200)
            {
                var health = server.Services.GetServices<IHealthPart>().OfType<Janitor>().Single().Check();
                Assert.False(health.Ready);
                Assert.StartsWith("S3 ", health.Detail, StringComparison.Ordinal);
            }
        }

        File.Delete(secret);
    }
}
