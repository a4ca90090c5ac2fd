using System.Globalization;
using Marmot.Hosting.ConsolePages;
using Marmot.Hosting.Moderating;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom;

/// <summary>What the blob store says of itself on the public page and in the console, and what the console draws of it.</summary>
internal sealed class BlossomFacts(IOptions<BlossomOptions> options, AllowList allowList) : IPublicFacts
{
    private const long MiB = 1024 * 1024;

    public int Order => 2;

    public static void AddCharts(IServiceCollection services)
    {
        services.AddSingleton(new ConsoleChart(
            "Blob bytes stored", "B", new ConsoleSeries("stored", "marmot_blossom_stored_bytes", SeriesKind.Value),
                new ConsoleSeries("free", "marmot_blossom_free_bytes", SeriesKind.Value)));
        services.AddSingleton(new ConsoleChart(
            "Blob requests", "/s",
            new ConsoleSeries("uploads", "marmot_blossom_requests_total", SeriesKind.Rate, "route=\"/upload\""),
            new ConsoleSeries("downloads", "marmot_blossom_requests_total", SeriesKind.Rate, "route=\"/{sha256}\""),
            new ConsoleSeries("refused", "marmot_blossom_refusals_total", SeriesKind.Rate)));
        services.AddSingleton(new ConsoleChart(
            "Blob bytes in and out", "B/s", new ConsoleSeries("received", "marmot_blossom_received_bytes_total", SeriesKind.Rate),
                new ConsoleSeries("sent", "marmot_blossom_sent_bytes_total", SeriesKind.Rate)));
    }

    public IEnumerable<PublicAddress> Addresses(string origin)
    {
        yield return new PublicAddress("media server", origin, "This is a Blossom server: enter the address as media server.");
    }

    public IEnumerable<(string Name, string Value)> Facts()
    {
        var blossom = options.Value;
        var buds = string.Join(", ", Endpoints.PropertiesEndpoint.Buds(blossom));
        yield return ("Media", string.Create(CultureInfo.InvariantCulture, $"BUDs {buds}; files up to {blossom.MaxUploadBytes / MiB} MiB"));
        yield return ("Kept media", blossom.KeepFor > TimeSpan.Zero ? string.Create(CultureInfo.InvariantCulture, $"{blossom.KeepFor.TotalDays:0.#} days")
            : "until deleted");
        yield return ("Who may upload", blossom.AllowedKeys.Length > 0 || allowList.IsSet ? "keys of the operator's list"
            : "everybody with a signed token (BUD-11)");
    }
}
