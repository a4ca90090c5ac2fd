using System.Net;
using Marmot.Blossom.Retention;
using Marmot.Hosting.Health;
using Marmot.Protocol.Keys;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Blossom.Tests.Index;

/// <summary>A PostgreSQL that answers nonsense is away, with a reason: the server starts, acknowledges nothing, says why, and stops.</summary>
public sealed class NonsenseDatabaseTests
{
    [Theory]
    [InlineData("http", false)]
    [InlineData("bytes", false)]
    [InlineData("close", true)]
    [InlineData("zeros", true)]
    [InlineData("pg length", true)]
    [InlineData("pg row", true)]
    [InlineData("pg error", true)]
    public async Task The_server_starts_says_why_and_acknowledges_nothing(string kind, bool afterStart)
    {
        await using var database = NonsenseServer.Start(kind, afterStart);
        var secret = Path.GetTempFileName();
        await File.WriteAllBytesAsync(secret, new byte[32]);
        await using (var server = await BlossomServer.StartAsync(
            $"--Storage:Postgres=Host=127.0.0.1;Port={database.Port};Username=a;Database=a;Timeout=1;Command Timeout=1;Cancellation Timeout=500",
            $"--Blossom:OwnerSecretFile={secret}", "--Blossom:SweepInterval=00:00:00.100"))
        {
            using var key = SecretKey.Generate();
            using var up = await server.UploadAsync(key, BlossomServer.RandomBlob(10));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, up.StatusCode);
            Assert.NotNull(up.Header("X-Reason"));
            var health = server.Services.GetServices<IHealthPart>().OfType<Janitor>().Single();
            for (var i = 0; i < 100 && health.Check().Ready; i++)
            {
                await Task.Delay(100);
            }

            Assert.False(health.Check().Ready);
            Assert.StartsWith("PostgreSQL ", health.Check().Detail, StringComparison.Ordinal);
        }

        File.Delete(secret);
    }
}
