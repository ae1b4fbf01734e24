# The function that dhcp-failover-exporter calls; version and text are the exporter's own.
@{
    RootModule = '<<endpoint>>.psm1'
    ModuleVersion = '<<version>>'
    GUID = '<<guid>>'
    Author = 'dhcp-failover-exporter'
    Description = 'Reads what a DHCP server knows about failover. Changes nothing.'
    PowerShellVersion = '5.1'
    FunctionsToExport = @('<<function>>')
    CmdletsToExport = @()
    VariablesToExport = @()
    AliasesToExport = @()
}
