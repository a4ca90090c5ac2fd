using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting;

/// <summary>Serves what it knows straight from a connection, before the HTTP server, and passes every other request on unread.</summary>
public interface IConnectionShortcut
{
    /// <summary>Ends with the connection, or with <paramref name="onward"/>, which then has it for good.</summary>
    Task RunAsync(ConnectionContext connection, ConnectionDelegate onward);
}

/// <summary>Registers shortcuts; they see a connection in the order of their registration.</summary>
public static class ConnectionShortcuts
{
    public static IServiceCollection AddConnectionShortcut<TShortcut>(this IServiceCollection services)
        where TShortcut : class, IConnectionShortcut
    {
        services.AddSingleton<IConnectionShortcut, TShortcut>();
        // Kestrel keeps the last of such actions only: the same one each time.
        services.Configure<KestrelServerOptions>(kestrel => kestrel.ConfigureEndpointDefaults(UseAll));
        return services;
    }

    private static void UseAll(ListenOptions listen)
    {
        if (!listen.ApplicationServices.GetRequiredService<IOptions<PublicOptions>>().Value.Shortcuts)
        {
            return;
        }

        foreach (var shortcut in listen.ApplicationServices.GetServices<IConnectionShortcut>())
        {
            listen.Use(next => connection => shortcut.RunAsync(connection, next));
        }
    }
}
