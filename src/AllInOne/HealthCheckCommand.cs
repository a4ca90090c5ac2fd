using Marmot.Hosting.Outgoing;
using Marmot.Hosting;
using Marmot.Hosting.Settings;
using Marmot.Terminal;

namespace Marmot.AllInOne;

/// <summary><c>marmot-server healthcheck</c>: what a container asks in place of curl.</summary>
internal static class HealthCheckCommand
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(3);

    internal static async Task<int> RunAsync(string[] args)
    {
        var configuration = new ConfigurationBuilder();
        configuration.AddMarmotSources(args);
        var options = configuration.Build().GetSection(AdminOptions.Section).Get<AdminOptions>() ?? new AdminOptions();
        string? address = options.Urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).FirstOrDefault();
        if (address is null)
        {
            await Console.Error.WriteLineAsync("Admin:Urls is empty, so there is nothing to ask");
            return ExitCodes.WrongUsage;
        }

        // A listener on every address is asked on loopback.
        address = address.Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal).Replace("[::]", "[::1]", StringComparison.Ordinal)
            .Replace("*", "127.0.0.1", StringComparison.Ordinal).Replace("+", "127.0.0.1", StringComparison.Ordinal);
        using var client = OutgoingHttp.CreateClient(Timeout);
        try
        {
            using var response = await client.GetAsync(new Uri(new Uri(address), "/readyz"));
            Console.WriteLine(await response.Content.ReadAsStringAsync());
            return response.IsSuccessStatusCode ? ExitCodes.Done : ExitCodes.Failed;
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            await Console.Error.WriteLineAsync("no answer from the admin port: " + exception.Message);
            return ExitCodes.Failed;
        }
    }
}
