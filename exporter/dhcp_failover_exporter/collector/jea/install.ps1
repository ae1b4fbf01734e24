#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Makes this DHCP server answer dhcp-failover-exporter on an endpoint of its own.

.DESCRIPTION
Installs the module, makes the groups, opens the firewall for the exporter, registers the endpoint and shows
what the monitoring account will be able to do there. Can be run again; every step says what it does with -WhatIf.

Registering an endpoint restarts WinRM, which cuts every remote session to this server.

.PARAMETER RunAs
Whose rights the function has. Try Users first: it can only read. Some builds refuse it ("WIN32 5"); then take
VirtualAccount on a member server or in a workgroup, and ManagedAccount on a domain controller.

.PARAMETER Account
The monitoring account, as DOMAIN\name, or as a name alone where it is this server's. Always give it: the script
ends with a test of what this account will see. It is put into the group where that is this server's; into a
group of the domain you put it before (Add-ADGroupMember).

.PARAMETER ExporterAddress
Addresses that may connect to WinRM. Without it the firewall is left alone.

.PARAMETER CertificateThumbprint
Makes an HTTPS listener with this certificate of the machine's store. Without it WinRM is as it was.

.EXAMPLE
.\Install-<<endpoint>>.ps1 -Account 'LAB\svc-dhcp-monitor' -ExporterAddress 10.0.0.5 -WhatIf

.EXAMPLE
.\Install-<<endpoint>>.ps1 -RunAs VirtualAccount -Account svc-dhcp-monitor -ExporterAddress 10.0.0.5
#>
[CmdletBinding(SupportsShouldProcess = $true, ConfirmImpact = 'High')]
param(
    [ValidateSet('Users', 'VirtualAccount', 'ManagedAccount')]
    [string] $RunAs = 'Users',

    [string] $Account = '',

    [string[]] $ExporterAddress = @(),

    [string] $CertificateThumbprint = ''
)

$endpoint = '<<endpoint>>'
$group = '<<group>>'
$system = CimCmdlets\Get-CimInstance -ClassName 'Win32_OperatingSystem' -ErrorAction Stop
$isDomainController = $system.ProductType -eq 2

function Assert-RunAs {
    if ($isDomainController -and $RunAs -eq 'VirtualAccount') {
        throw 'A virtual account is Domain Admin on a domain controller. Use ManagedAccount.'
    }
    if (-not (Microsoft.PowerShell.Management\Test-Path -Path "$PSScriptRoot\$RunAs.pssc" -ErrorAction Stop)) {
        throw "$RunAs.pssc is not beside this script: write it with jea --managed-account."
    }
}

function Test-DhcpGroup {
    if (-not $isDomainController) {
        return $null -ne (Microsoft.PowerShell.LocalAccounts\Get-LocalGroup -Name 'DHCP Users' -ErrorAction SilentlyContinue)
    }
    # There the groups are the domain's. Elsewhere this would find the domain's group where the server's is missing.
    try {
        $null = ([System.Security.Principal.NTAccount] 'DHCP Users').Translate([System.Security.Principal.SecurityIdentifier])
        return $true
    }
    catch [System.Security.Principal.IdentityNotMappedException] { return $false }
}

function Add-DhcpGroup {
    # DHCP Users and DHCP Administrators, as netsh dhcp add securitygroups does; the service knows them after a restart.
    if (-not (Test-DhcpGroup) -and $PSCmdlet.ShouldProcess('DHCP Users', 'Make the group and restart the service DHCPServer')) {
        DhcpServer\Add-DhcpServerSecurityGroup -ErrorAction Stop
        Microsoft.PowerShell.Management\Restart-Service -Name 'DHCPServer' -ErrorAction Stop
    }
}

function Add-MonitorGroup {
    # A group with a domain in its name is the domain's business; so is every group of a domain controller.
    if ($isDomainController -or $group -like '*\*') { return }
    $known = Microsoft.PowerShell.LocalAccounts\Get-LocalGroup -Name $group -ErrorAction SilentlyContinue
    if ($null -eq $known -and $PSCmdlet.ShouldProcess($group, 'Make the local group')) {
        Microsoft.PowerShell.LocalAccounts\New-LocalGroup -Name $group -ErrorAction Stop
    }
    if ($Account -ne '' -and $PSCmdlet.ShouldProcess($group, "Add $Account")) {
        Microsoft.PowerShell.LocalAccounts\Add-LocalGroupMember -Group $group -Member $Account `
            -ErrorAction SilentlyContinue -ErrorVariable failures
        foreach ($failure in $failures) {
            if ("$($failure.FullyQualifiedErrorId)" -notlike 'MemberExists,*') { throw $failure }
        }
    }
}

function Copy-Module {
    $folder = "$env:ProgramFiles\WindowsPowerShell\Modules"
    if ($PSCmdlet.ShouldProcess("$folder\$endpoint", 'Copy the module')) {
        Microsoft.PowerShell.Management\Copy-Item -Path "$PSScriptRoot\$endpoint" -Destination $folder `
            -Recurse -Force -ErrorAction Stop
        # A mark of the web would keep the module from loading.
        foreach ($file in Microsoft.PowerShell.Management\Get-ChildItem -Path "$folder\$endpoint" -Recurse -File `
                -ErrorAction Stop) {
            Microsoft.PowerShell.Utility\Unblock-File -Path $file.FullName -ErrorAction Stop
        }
    }
}

function Add-HttpsListener {
    if ($CertificateThumbprint -eq '') { return }
    $selector = @{ Address = '*'; Transport = 'HTTPS' }
    $listener = 'winrm/config/Listener'
    $known = Microsoft.WSMan.Management\Get-WSManInstance -ResourceURI $listener -SelectorSet $selector `
        -ErrorAction SilentlyContinue
    if (-not $PSCmdlet.ShouldProcess('WinRM', "HTTPS listener with certificate $CertificateThumbprint")) { return }
    $values = @{ CertificateThumbprint = $CertificateThumbprint }
    if ($null -eq $known) {
        Microsoft.WSMan.Management\New-WSManInstance -ResourceURI $listener -SelectorSet $selector `
            -ValueSet $values -ErrorAction Stop
    }
    else {
        Microsoft.WSMan.Management\Set-WSManInstance -ResourceURI $listener -SelectorSet $selector `
            -ValueSet $values -ErrorAction Stop
    }
}

function Add-FirewallRule {
    if ($ExporterAddress.Count -eq 0) { return }
    $port = 5985
    if ($CertificateThumbprint -ne '') { $port = 5986 }
    $name = "$endpoint-WinRM-$port"
    $known = NetSecurity\Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue
    if (-not $PSCmdlet.ShouldProcess($name, "Allow TCP $port from $ExporterAddress")) { return }
    if ($null -ne $known) { NetSecurity\Remove-NetFirewallRule -Name $name -ErrorAction Stop }
    NetSecurity\New-NetFirewallRule -Name $name -DisplayName "WinRM for $endpoint (TCP $port)" -Direction 'Inbound' `
        -Protocol 'TCP' -LocalPort $port -RemoteAddress $ExporterAddress -Action 'Allow' -ErrorAction Stop
}

function Register-Endpoint {
    if (-not $PSCmdlet.ShouldProcess($endpoint, 'Register the endpoint and restart WinRM')) { return }
    $known = Microsoft.PowerShell.Core\Get-PSSessionConfiguration -Name $endpoint -ErrorAction SilentlyContinue
    if ($null -ne $known) {
        Microsoft.PowerShell.Core\Unregister-PSSessionConfiguration -Name $endpoint -Force -NoServiceRestart `
            -ErrorAction Stop
    }
    Microsoft.PowerShell.Core\Register-PSSessionConfiguration -Name $endpoint -Path "$PSScriptRoot\$RunAs.pssc" `
        -Force -NoServiceRestart -ErrorAction Stop
    Microsoft.PowerShell.Management\Restart-Service -Name 'WinRM' -ErrorAction Stop
}

function Get-Visible {
    # Whoever registers the endpoint need not be of the group: so what it would show the account, without a logon.
    try {
        $visible = @(Microsoft.PowerShell.Core\Get-PSSessionCapability -ConfigurationName $endpoint -Username $Account `
                -ErrorAction Stop)
        return , $visible # the comma keeps an empty list from becoming null, which means not known
    }
    catch {
        # Windows asks the domain who somebody is, which knows no account of this server (not confirmed).
        if ("$($_.FullyQualifiedErrorId)" -notlike 'CouldNotResolveUsername,*') { throw }
        Microsoft.PowerShell.Utility\Write-Warning -Message "Windows cannot say what $Account would see: $_" `
            -ErrorAction Continue
    }
}

function Test-Endpoint {
    if ($WhatIfPreference) { return }
    if ($Account -eq '') {
        $command = "Get-PSSessionCapability -ConfigurationName $endpoint -Username 'DOMAIN\name'"
        Microsoft.PowerShell.Utility\Write-Warning -Message "Not tested, because -Account was left out. To test: $command" `
            -ErrorAction Continue
        return
    }
    $visible = Get-Visible
    if ($null -eq $visible) { return 'Not tested here. Now run: dhcp-failover-exporter check' }
    if (@(foreach ($command in $visible) { $command.Name }) -notcontains '<<function>>') {
        throw "$Account does not see <<function>> on $endpoint. Put it into $group and run this again."
    }
    "$Account sees <<function>> on $endpoint. Now run: dhcp-failover-exporter check"
}

Assert-RunAs
Add-DhcpGroup
Add-MonitorGroup
Copy-Module
Add-HttpsListener
Add-FirewallRule
Register-Endpoint
Test-Endpoint
