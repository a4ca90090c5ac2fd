using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Hosting.ConsolePages;

/// <summary>Puts console and public page into a host.</summary>
public static class ConsoleHosting
{
    /// <summary>Adds what every process has; servers add pages, charts and facts of their own.</summary>
    internal static IServiceCollection AddConsole(this IServiceCollection services, RecentLog log)
    {
        services.AddSingleton(log);
        services.AddSingleton<ConsoleSessions>();
        services.AddSingleton<ConsoleServer>();
        services.AddSingleton<PublicPage>();
        services.AddSingleton<History>();
        services.AddHostedService(provider => provider.GetRequiredService<History>());
        services.AddSingleton<IConsolePage, OverviewPage>();
        return services;
    }
}
