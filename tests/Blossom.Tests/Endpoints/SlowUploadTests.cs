using System.Net;
using System.Net.Sockets;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Endpoints;

public sealed class SlowUploadTests
{
    private const int Stuck = 600; // ./bench blossom takes 2,000 and compares latencies

    [Fact]
    public async Task Hundreds_of_stuck_uploads_harm_no_honest_one_and_leave_nothing()
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        var stuck = new List<TcpClient>();
        await using (var server = await BlossomServer.StartInAsync(folder.Path, null))
        {
            for (var i = 0; i < Stuck; i++)
            {
                var client = new TcpClient();
                stuck.Add(client);
                await client.ConnectAsync(server.Address.Host, server.Address.Port);
                var head =
                    $"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        + $"1000000\r\nAuthorization: {server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf(BitConverter.GetBytes(i)))}\r\n\r\nsome "
                        + $"bytes";
                await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(head));
            }

            await Task.WhenAll(Enumerable.Range(0, 40).Select(async _ =>
            {
                var blob = BlossomServer.RandomBlob(50_000);
                using var answer = await server.UploadAsync(key, blob);
                Assert.Equal(HttpStatusCode.Created, answer.StatusCode);
                Assert.Equal(blob, await server.Http.GetByteArrayAsync($"/{BlossomServer.HashOf(blob)}"));
            }));
            stuck.ForEach(client => client.Dispose());
        }

        Assert.Equal(40, BlossomServer.BlobFiles(folder.Path).Count());
    }

    [Fact]
    public async Task An_upload_slower_than_the_slowest_allowed_is_broken_off()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:MinUploadBytesPerSecond=1000000", "--Blossom:SlowUploadGrace=00:00:01.100");
        using var key = SecretKey.Generate();
        using var client = new TcpClient();
        await client.ConnectAsync(server.Address.Host, server.Address.Port);
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(
            $"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: "
                + $"1000000\r\nAuthorization: {server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf([1]))}\r\n\r\n"));
        using var reader = new StreamReader(stream);
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var answer = await reader.ReadToEndAsync(deadline.Token); // ends because the server closes
        Assert.StartsWith("HTTP/1.1 408", answer, StringComparison.Ordinal);
        Assert.Contains("X-Reason:", answer, StringComparison.Ordinal);
    }
}
