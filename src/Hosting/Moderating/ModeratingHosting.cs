using Marmot.Hosting.ConsolePages;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Hosting.Moderating;

/// <summary>Puts the operator's decisions and the allow list into a host. Several servers of one process share them.</summary>
public static class ModeratingHosting
{
    /// <summary>Adds them once, on the <see cref="IModerationStore"/> of the server that came first.</summary>
    /// <param name="services">The host's.</param>
    public static IServiceCollection AddModeration(this IServiceCollection services)
    {
        if (services.Any(service => service.ServiceType == typeof(Moderation)))
        {
            return services;
        }

        services.AddSingleton<Moderation>();
        services.AddSingleton<Decisions>();
        services.AddSingleton<AllowList>();
        services.AddSingleton<IConsolePage, ModerationPage>();
        services.AddHostedService<AllowedNames>();
        services.AddHostedService<ModerationFeed>();
        return services;
    }
}
