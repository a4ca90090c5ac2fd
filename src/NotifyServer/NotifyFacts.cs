using Marmot.Hosting.ConsolePages;
using Marmot.Protocol.Encoding;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.NotifyServer;

/// <summary>What the push server says of itself on the public page and in the console, and what the console draws of it.</summary>
internal sealed class NotifyFacts(NotifyService service) : IPublicFacts
{
    public int Order => 3;

    public static void AddCharts(IServiceCollection services)
    {
        services.AddSingleton(
            new ConsoleChart("Pushes ended, by verdict", "/s", new ConsoleSeries("", "marmot_notify_pushes_ended_total", SeriesKind.Rate, By: "end")));
        services.AddSingleton(
            new ConsoleChart("Pushes ended, by provider", "/s", new ConsoleSeries("", "marmot_notify_pushes_ended_total", SeriesKind.Rate, By: "platform")));
        services.AddSingleton(new ConsoleChart(
            "Push queues", "", new ConsoleSeries("pushes", "marmot_notify_push_pending", SeriesKind.Value),
                new ConsoleSeries("events", "marmot_notify_inbox_waiting", SeriesKind.Value)));
        services.AddSingleton(new ConsoleChart(
            "Elliptic-curve operations", "/s", new ConsoleSeries("used", "marmot_notify_ec_operations_total", SeriesKind.Rate),
                new ConsoleSeries("allowed", "marmot_notify_ec_budget", SeriesKind.Value)));
    }

    public IEnumerable<PublicAddress> Addresses(string origin) => service.Apps.Select(app => new PublicAddress(
        service.Apps.Count == 1 ? "push server" : $"push server {app.Name}", Nip19.EncodePublicKey(app.PublicKey),
            "This is the key of the push server (MIP-05, marmot-push-v1)."));

    public IEnumerable<(string Name, string Value)> Facts()
    {
        yield return ("Push", "sends hints without content to Apple's and Google's push services; stores nothing of them");
    }
}
