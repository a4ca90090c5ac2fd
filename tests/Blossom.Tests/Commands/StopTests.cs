using System.Net.Sockets;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Blossom.Tests.Commands;

public sealed class StopTests
{
    [Fact]
    public async Task Transfers_that_never_end_do_not_keep_a_stop_from_ending_with_exit_code_0()
    {
        using var folder = new TemporaryFolder();
        using var key = SecretKey.Generate();
        var port = FreePort.Take(1)[0];
        var address = new Uri($"http://127.0.0.1:{port}");
        using var silent = new TcpListener(System.Net.IPAddress.Loopback, 0); // an origin that takes the connection and says nothing
        silent.Start();
        await using var server = ChildProcess.Start("dotnet",
        [
            Path.Combine(AppContext.BaseDirectory, "Marmot.Blossom.dll"), $"--Public:Urls={address}", "--Admin:Urls=", $"--Storage:DataDirectory={folder.Path}",
            "--Blossom:MinFreeBytes=0", "--Blossom:Profile=General", "--Blossom:MirrorPrivateAddresses=true", "--Public:StopTimeout=00:00:04",
        ]);
        using var http = new HttpClient { BaseAddress = address };
        await UntilAsync(http);
        var blob = BlossomServer.RandomBlob(24 * 1024 * 1024);
        using (var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(blob) })
        {
            request.Headers.TryAddWithoutValidation("Authorization", Token(key, BlossomServer.HashOf(blob)));
            (await http.SendAsync(request)).EnsureSuccessStatusCode();
        }

        var body = $"{{\"url\":\"http://127.0.0.1:{((System.Net.IPEndPoint)silent.LocalEndpoint).Port}/x\"}}";
        string[] requests =
        [
            $"GET /{BlossomServer.HashOf(blob)} HTTP/1.1\r\nHost: a\r\n\r\n", // past the HTTP server
            $"GET /{BlossomServer.HashOf(blob)} HTTP/1.1\r\nHost: a\r\nX-Unknown: 1\r\n\r\n",
            $"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\nAuthorization: {Token(key, BlossomServer.HashOf([1]))}\r\n\r\nsome",
            $"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nrefused, and never finished",
            $"PUT /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: {body.Length}\r\nAuthorization: {Token(key, BlossomServer.HashOf([2]))}\r\n\r\n{body}",
        ];
        var clients = new List<TcpClient>();
        foreach (var request in requests)
        {
            var client = new TcpClient();
            clients.Add(client);
            await client.ConnectAsync(address.Host, address.Port);
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(request));
        }

        using var origin = await silent.AcceptTcpClientAsync(); // all are under way
        server.Terminate();
        Assert.Equal(0, await server.WaitForExitAsync(TimeSpan.FromSeconds(30)));
        Assert.DoesNotContain("Unhandled exception", server.Output, StringComparison.Ordinal);
        clients.ForEach(client => client.Dispose());
    }

    private static string Token(SecretKey key, Marmot.Protocol.Encoding.Bytes32 hash) =>
        BlossomAuth.CreateHeader(key, BlossomVerb.Upload, [hash], null, DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5));

    private static async Task UntilAsync(HttpClient http)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            try
            {
                using var answer = await http.GetAsync("/.well-known/blossom.json", patience.Token);
                return;
            }
            catch (HttpRequestException)
            {
                await Task.Delay(50, patience.Token); // another process starts: there is nothing to await but its port
            }
        }
    }
}
